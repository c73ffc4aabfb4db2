"""Reconciliation after a fault: compares acknowledged actions with the rows of PostgreSQL and the messages of Kafka."""

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import Message

from tests.faults.traffic import Sent

Content = tuple[str, int, Decimal]  # event_id, user_id, value
ROWS = "SELECT event_id::text, user_id, value FROM user_actions"


class Account(NamedTuple):
    """Counts of actions: acked + refused + unknown = sent. All fields after `replayed` must be 0 or bounded."""

    sent: int
    acked: int
    refused: int
    replayed: int  # of the acked: stored although their first response was lost
    unknown: int
    missing: int  # of the acked: without a row or a message
    missing_rows: int
    missing_messages: int
    phantoms: int  # messages without a row, and rows that no client sent
    duplicates: int  # further messages of the same event_id
    inversions: int  # messages after a later action of the same user


def account(sent: Sequence[Sent], rows: set[Content], messages: Sequence[Content], known: Iterable[str]) -> Account:
    """Count the differences; `known` are the event_ids that other tests sent to the same database and topic."""
    stored, arrived = {row[0] for row in rows}, Counter(message[0] for message in messages)
    ours = {action.event_id: action for action in sent}
    verdicts = Counter(action.verdict for action in sent)
    acked = [action for action in sent if action.verdict == "acked"]
    allowed = {action.event_id for action in sent if action.verdict != "refused"} | set(known)
    return Account(
        sent=len(sent),
        acked=len(acked),
        refused=verdicts["refused"],
        replayed=sum(action.attempts[-1].status == 200 for action in acked),
        unknown=verdicts["unknown"],
        missing=sum(content(action) not in rows or action.event_id not in arrived for action in acked),
        missing_rows=sum(content(action) not in rows for action in acked),
        missing_messages=sum(action.event_id not in arrived for action in acked),
        phantoms=sum(message not in rows for message in messages) + len(stored - allowed),
        duplicates=sum(arrived[event_id] - 1 for event_id in ours if arrived[event_id]),
        inversions=inversions(ours[m[0]] for m in messages if m[0] in ours),
    )


def inversions(arrivals: Iterable[Sent]) -> int:
    """The number of actions that arrive after an action of the same user that was sent after their acknowledgement.

    `arrivals` are in the order of the topic, which is defined per user; only the first arrival of each action counts.
    """
    latest: dict[int, float] = defaultdict(float)  # user_id to the latest first attempt of an arrived action
    seen: set[str] = set()
    inverted = 0
    for action in arrivals:
        if action.event_id not in seen:
            seen.add(action.event_id)
            inverted += action.ended < latest[action.user_id]
            latest[action.user_id] = max(latest[action.user_id], action.begun)
    return inverted


def verify_checker(canary: Sent, rows: set[Content], messages: Sequence[Content]) -> None:
    """Check that account() works here: with the wrong table or topic it would find no error.

    The canary must be a row and a message. An action that was not sent must be found as a phantom, and as missing when
    it is claimed to be acked.
    """
    assert rows and messages, "the checker sees no rows or no messages"
    unsent = Sent(str(uuid.uuid4()), 1, "1.00", canary.attempts)
    # Only the canary's messages: in a control the others may be phantoms.
    arrived = [message for message in messages if message[0] == canary.event_id]
    seen = account([canary], rows, arrived, {row[0] for row in rows})
    assert (seen.acked, seen.missing, seen.phantoms) == (1, 0, 0), f"the checker does not find its canary: {seen}"
    wrong = account([canary, unsent], rows, [*arrived, content(unsent)], {row[0] for row in rows})
    assert (wrong.missing_rows, wrong.phantoms) == (1, 1), f"the checker finds no errors: {wrong}"


def content(action: Sent) -> Content:
    """The content that the row and the message must have."""
    return action.event_id, action.user_id, Decimal(action.value)


def read_rows(database_url: str) -> set[Content]:
    """The content of all stored actions."""
    with psycopg.connect(database_url) as connection:
        return set(connection.execute(ROWS).fetchall())


def read_messages(messages: Iterable[Message]) -> list[Content]:
    """The content of the messages, in their order."""
    payloads: list[dict[str, Any]] = [json.loads(message.value() or b"") for message in messages]
    return [(payload["event_id"], payload["user_id"], Decimal(str(payload["value"]))) for payload in payloads]
