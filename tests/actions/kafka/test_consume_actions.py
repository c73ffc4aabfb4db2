"""manage.py consume_actions: its output on the console and in a pipe."""

import json
import signal
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer
from django.core.management import CommandError, call_command

from actions.models import TOPIC
from tests.actions.outbox import record, waiting
from tests.support.deployment import Stack
from tests.support.manage_process import start
from tests.support.os_processes import wait_for
from tests.support.pytest_plugin import CLOSED

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("kafka")]


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def relay(stack: Stack) -> Iterator[None]:
    """Publishes the recorded actions, for all tests."""
    with start(stack, "relay_actions") as relay:
        yield
        relay.end()


@pytest.fixture
def ids(stack: Stack, relay: None) -> list[str]:
    """Five actions of one user, delivered."""
    return publish(stack, 7, 7, 7, 7, 7)


def publish(stack: Stack, *user_ids: int) -> list[str]:
    ids = record(stack, *user_ids)
    wait_for(lambda: waiting(stack) == 0, "the delivery")
    return ids


def read(stack: Stack, *arguments: str) -> list[str]:
    """The event ids on the lines that the command printed."""
    return event_ids(stack.manage("consume_actions", *arguments).stdout)


def event_ids(printed: str) -> list[str]:
    return [json.loads(line).get("event_id", "") for line in printed.splitlines()]


def produce(stack: Stack, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": stack.kafka_broker})
    producer.produce(TOPIC, value, key=b"7")
    assert producer.flush(120) == 0


def test_messages_are_printed_as_one_json_document_per_line(stack: Stack, ids: list[str], group: str) -> None:
    done = stack.manage("consume_actions", "--limit", "2", "--group", group)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(line) for line in lines] == [{"user_id", "action_type", "action_timestamp", "event_id", "value"}] * 2
    assert done.stderr.endswith("consume_actions: printed 2\n")


def test_a_group_resumes_after_its_last_commit(stack: Stack, ids: list[str], group: str) -> None:
    with start(stack, "consume_actions", "--group", group) as consumer:
        seen = [json.loads(consumer.line())["event_id"]]
        while seen[-1] != ids[-1]:
            seen.append(json.loads(consumer.line())["event_id"])
        consumer.end()
    later = publish(stack, 7, 8)
    assert sorted(read(stack, "--group", group, "--limit", "2")) == sorted(later)


def test_from_the_beginning_prints_all_again(stack: Stack, ids: list[str], group: str) -> None:
    everything = str(len(stack.messages()))
    first = read(stack, "--group", group, "--limit", everything)
    assert sorted(read(stack, "--group", group, "--from-beginning", "--limit", everything)) == sorted(first)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(stack: Stack, ids: list[str], group: str, signum: signal.Signals) -> None:
    with start(stack, "consume_actions", "--group", group) as consumer:
        consumer.line()
        out, err = consumer.end(signum)
    assert all(event_ids(out))
    assert f"consume_actions: printed {len(out.splitlines()) + 1}" in err


def test_a_closed_pipe_ends_it_without_a_traceback(stack: Stack, ids: list[str], group: str) -> None:
    with start(stack, "consume_actions", "--group", group) as consumer:
        assert consumer.stdout is not None
        consumer.line()
        consumer.stdout.close()
        publish(stack, 7)
        consumer.wait(120)
        assert consumer.returncode == 0
        assert consumer.stderr is not None
        assert consumer.stderr.read() == "consume_actions: stdout was closed by its reader\n"


def test_a_message_that_is_not_json_is_printed_and_does_not_end_the_command(
    stack: Stack, ids: list[str], group: str
) -> None:
    produce(stack, b"two\nlines \xff")
    with start(stack, "consume_actions", "--group", group) as consumer:
        while "not_json" not in (line := consumer.line()):
            assert line
        assert json.loads(line) == {"not_json": "two\nlines \\xff"}
        consumer.end()


def test_without_a_broker_it_reports_that_and_retries(stack: Stack, group: str) -> None:
    with start(stack, "consume_actions", "--group", group, KAFKA_BROKER=CLOSED) as consumer:
        assert consumer.stderr is not None
        assert "waiting for Kafka" in consumer.stderr.readline()
        assert consumer.end()[0] == ""


def test_an_invalid_limit_ends_it_with_status_2(stack: Stack) -> None:
    with start(stack, "consume_actions", "--limit", "0") as consumer:
        err = consumer.communicate(timeout=120)[1]
    assert consumer.returncode == 2
    assert "expected a whole number of at least 1" in err


@pytest.mark.parametrize("group", ["", " ", "\udcff"])
def test_a_group_that_the_client_library_would_crash_on_is_rejected(group: str) -> None:
    with pytest.raises(CommandError, match="expected printable text"):
        call_command("consume_actions", f"--group={group}")


@pytest.mark.parametrize("limit", ["-1", "many"])
def test_an_invalid_limit_is_rejected(limit: str) -> None:
    with pytest.raises(CommandError, match="expected a whole number of at least 1"):
        call_command("consume_actions", f"--limit={limit}")
