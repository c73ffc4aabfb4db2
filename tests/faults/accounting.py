"""The accounting after a fault: what was acknowledged, against the rows of PostgreSQL and the messages of Kafka."""

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
    """Counts of actions: acked + refused + unknown = sent. All but the first four ought to be 0 or bounded."""

    sent: int
    acked: int
    refused: int
    replayed: int  # of the acked: in doubt at first, and stored all the same
    unknown: int
    missing: int  # of the acked: not in both
    missing_rows: int
    missing_messages: int
    phantoms: int  # messages without their row, rows that nobody sent
    duplicates: int  # further messages of the same event_id
    inversions: int  # messages behind a later action of the same user


def account(sent: Sequence[Sent], rows: set[Content], messages: Sequence[Content], known: Iterable[str]) -> Account:
    """Compares; `known` are the event_ids of whatever else was sent to the same database and topic."""
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
    """How many arrive behind an action of the same user that was sent after their acknowledgement.

    `arrivals` in the order of the topic, which is meaningful for each user; only the first arrival of each counts.
    """
    latest: dict[int, float] = defaultdict(float)  # user_id to the latest first attempt among what has arrived
    seen: set[str] = set()
    inverted = 0
    for action in arrivals:
        if action.event_id not in seen:
            seen.add(action.event_id)
            inverted += action.ended < latest[action.user_id]
            latest[action.user_id] = max(latest[action.user_id], action.begun)
    return inverted


def prove_that_it_sees(canary: Sent, rows: set[Content], messages: Sequence[Content]) -> None:
    """A checker that reads the wrong table or topic would find everything in order: the canary must be in both.

    An action that nobody sent, and the same one claimed as acked, must be noticed.
    """
    assert rows and messages, "the checker sees no rows or no messages"
    stranger = Sent(str(uuid.uuid4()), 1, "1.00", canary.attempts)
    arrived = [message for message in messages if message[0] == canary.event_id]  # others may be phantoms, in a control
    seen = account([canary], rows, arrived, {row[0] for row in rows})
    assert (seen.acked, seen.missing, seen.phantoms) == (1, 0, 0), f"the checker does not see its canary: {seen}"
    blind = account([canary, stranger], rows, [*arrived, content(stranger)], {row[0] for row in rows})
    assert (blind.missing_rows, blind.phantoms) == (1, 1), f"the checker is blind: {blind}"


def content(action: Sent) -> Content:
    """What must be in the row and in the message."""
    return action.event_id, action.user_id, Decimal(action.value)


def read_rows(database_url: str) -> set[Content]:
    """All stored actions."""
    with psycopg.connect(database_url) as connection:
        return set(connection.execute(ROWS).fetchall())


def read_messages(messages: Iterable[Message]) -> list[Content]:
    """The same of the topic's messages, in their order."""
    payloads: list[dict[str, Any]] = [json.loads(message.value() or b"") for message in messages]
    return [(payload["event_id"], payload["user_id"], Decimal(str(payload["value"]))) for payload in payloads]
