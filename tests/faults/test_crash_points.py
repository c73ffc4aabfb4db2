"""Kills the relay at every externally visible point: before each message that it sends to PostgreSQL or Kafka.

strace kills it (SIGKILL) as it enters its n-th system call that sends, for every n until it exits normally, so the code
under test needs no hooks. The state after each crash is part of the figures.
"""

import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.accounting import read_messages
from tests.faults.figures import Recorder, record_and_check
from tests.faults.traffic import Sent, Traffic, attempt
from tests.faults.world import TOPIC, World
from tests.support.deployment import ROOT
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for
from tests.support.programs import Missing
from tests.support.servers import need

pytestmark = [pytest.mark.stack, pytest.mark.long]
MAX_POINTS = 40  # per system call
DELIVERED_TWICE = "in Kafka and waiting"
ACTIONS = 5  # in the outbox at each point


@pytest.fixture
def without_relays(world: World) -> Iterator[World]:
    """The deployment after its relays were killed."""
    world.repair()
    world.canary()
    for relay in world.relays:
        relay.kill()
    world.stack.manage("relay_actions", "--once")
    yield world
    world.repair()


def strace() -> str:
    """The path of strace; raises Missing."""
    if path := shutil.which("strace"):
        return path
    raise Missing("strace is not installed")


def kill_at(call: str, number: int) -> list[str]:
    """The prefix of a command that kills it at the `number`-th such system call of a thread."""
    silent = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    return [need(strace), *silent, "-e", f"inject={call}:signal=KILL:when={number}"]


def points() -> Iterator[tuple[str, int]]:
    """The points: PostgreSQL's client sends by sendto, Kafka's by sendmsg."""
    for call in ("sendto", "sendmsg"):
        yield from ((call, number) for number in range(1, MAX_POINTS))


def test_a_relay_may_die_at_any_point(without_relays: World, seed: int, record_property: Recorder) -> None:
    traffic, seen = Traffic(without_relays.web, seed=seed), Counter[str]()
    without_relays.traffics.append(traffic)
    done: set[str] = set()
    repeated = 0  # messages that Kafka has and that are still in the outbox
    for call, number in points():
        if call in done:
            continue
        batch = [post(without_relays, Sent(str(uuid.uuid4()), user % 2 + 1, "1.00")) for user in range(ACTIONS)]
        traffic.sent.extend(batch)
        relay = [sys.executable, "manage.py", "relay_actions", "--once", "--skip-checks"]
        ended = subprocess.run(
            [*kill_at(call, number), *relay],
            cwd=ROOT,
            env=without_relays.stack.environment,
            capture_output=True,
            timeout=120,
        )
        if ended.returncode == 0:
            done.add(call)
        else:
            state = state_after(without_relays, batch)
            seen[state] += 1
            repeated += without_relays.waiting() if state == DELIVERED_TWICE else 0
    without_relays.repair()
    found = without_relays.reconcile(traffic)
    record_and_check(
        record_property, "7 relay dies at each send", found, recovery=0, duplicates=repeated, notes=summary(seen)
    )
    assert len(seen) == 3, f"the crashes do not reach all states: {seen}"


def state_after(world: World, batch: list[Sent]) -> str:
    """The state that a crash of the relay left."""
    ids = {sent.event_id for sent in batch}
    arrived = {message[0] for message in read_messages(read_topic(world.kafka.address, TOPIC))} & ids
    if not arrived:
        return "not in Kafka"
    return "in Kafka and deleted" if world.waiting() == 0 else DELIVERED_TWICE


def post(world: World, sent: Sent) -> Sent:
    """Post the action until it is acknowledged."""

    def acked() -> bool:
        sent.attempts.append(attempt(world.web, sent.body()))
        return sent.verdict == "acked"

    wait_for(acked, "an acknowledgement")
    return sent


def summary(seen: Counter[str]) -> str:
    """The number of crashes by state, as text."""
    return "seen: " + ", ".join(f"{state} {times}x" for state, times in seen.most_common())
