"""manage.py import_actions --from-kafka: what a restored database lacks is read back from the topic."""

import io
import json
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.management import CommandError, call_command
from pytest_django import Settings

from actions.models import TOPIC, OutboxMessage, UserAction
from actions.relay.relay import Relay
from ccweb.events.erasure import mark_erased
from tests.support.api_client import post
from tests.support.pytest_plugin import CLOSED

pytestmark = pytest.mark.django_db(transaction=True)
FIELDS = ("event_id", "user_id", "action_type", "value", "action_timestamp")


def load(*options: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("import_actions", *options, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def rows() -> list[tuple[Any, ...]]:
    return sorted(UserAction.objects.values_list(*FIELDS))


@pytest.fixture
def delivered(kafka_broker: str) -> str:
    """A broker with three delivered actions."""
    for user_id, value in ((7, "19.99"), (8, "-2.5"), (9, "0")):
        post("actions", {"user_id": user_id, "action_type": "bet", "value": value})
    relay = Relay()
    relay.run(until_empty=True)
    assert (relay.delivered, OutboxMessage.objects.count()) == (3, 0)
    return kafka_broker


def put(broker: str, *values: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for value in values:
        producer.produce(TOPIC, value, b"7", partition=0)
    assert producer.flush(30) == 0


def test_missing_actions_come_back_as_they_were_once_and_unpublished(delivered: str) -> None:
    before = rows()
    UserAction.objects.exclude(user_id=8).delete()
    summary = "import_actions: 3 messages read, 2 stored, 1 already there, 0 bad"
    assert load("--from-kafka") == (summary, "")
    assert rows() == before
    assert load("--from-kafka")[0] == "import_actions: 3 messages read, 0 stored, 3 already there, 0 bad"
    assert not OutboxMessage.objects.exists()


def test_actions_of_erased_users_stay_away(delivered: str) -> None:
    UserAction.objects.all().delete()
    mark_erased(7)
    summary = "import_actions: 3 messages read, 2 stored, 0 already there, 0 bad, 1 of erased users left out"
    assert load("--from-kafka")[0] == summary
    assert set(UserAction.objects.values_list("user_id", flat=True)) == {8, 9}


def test_what_is_no_action_is_named_by_its_place_and_left_out(delivered: str) -> None:
    known = UserAction.objects.get(user_id=7)
    conflict = {"event_id": str(known.event_id), "user_id": 8, "action_type": "bet", "value": "1"}
    good = {"event_id": "018f3c5e-7a10-7cc0-8000-00000000000a", "user_id": 7, "action_type": "bet", "value": "1"}
    at, late = {"action_timestamp": "2026-01-31T12:00:00.000000Z"}, {"action_timestamp": "2999-01-31T12:00:00Z"}
    values = [{"user_id": 7}, good | at | {"user_id": True}, good | at | {"value": None}, good | late, conflict | at]
    put(delivered, b"{", None, *(json.dumps(value).encode() for value in values), json.dumps(good | at).encode())
    out, err = load("--from-kafka")
    assert out == "import_actions: 11 messages read, 1 stored, 3 already there, 7 bad"
    lines = err.splitlines()
    assert all(line.startswith("partition 0, offset ") for line in lines)
    for text in (
        "it is not JSON",
        "it is not a JSON object with event_id, user_id, action_type, value, action_timestamp",
        "user 'True' is not a whole number",
        "value 'None' is not a number",
        "is in the future",
        "another action with this event_id is stored",
    ):
        assert any(text in line for line in lines), (text, err)


def test_it_is_not_published_again_and_a_kafka_or_topic_that_is_not_there_is_named(
    settings: Settings, kafka_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match="--publish: what comes from Kafka is not published again"):
        load("--from-kafka", "--publish")
    with pytest.raises(CommandError, match="cannot import from Kafka: there is no topic topic_user_actions"):
        load("--from-kafka")
    monkeypatch.setattr("actions.kafka.topic_reader.SILENCE_SECONDS", 0.5)
    settings.KAFKA_BROKER = CLOSED
    with pytest.raises(CommandError, match="cannot import from Kafka: Kafka does not answer: .*refused"):
        load("--from-kafka")
