"""The relay dies at every point that another could notice: just before each message that it sends to anybody.

strace kills it (SIGKILL) as it enters its n-th system call that sends, for every n until it lives to the end; so the
code under test needs no hook. What was seen behind each crash is part of the figures.
"""

import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.accounting import read_messages
from tests.faults.figures import Recorder, judge
from tests.faults.traffic import Sent, Traffic, attempt
from tests.faults.world import TOPIC, World
from tests.support.deployment import ROOT
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for
from tests.support.programs import Missing
from tests.support.servers import need

pytestmark = [pytest.mark.stack, pytest.mark.long]
MOST = 40  # points of one kind
DELIVERED_TWICE = "in Kafka and waiting"
ACTIONS = 5  # in the outbox at each point


@pytest.fixture
def quiet(world: World) -> Iterator[World]:
    """The deployment without its relays."""
    world.repair()
    world.canary()
    for relay in world.relays:
        relay.kill()
    world.stack.manage("relay_actions", "--once")
    yield world
    world.repair()


def strace() -> str:
    """Where the program is; raises Missing."""
    if path := shutil.which("strace"):
        return path
    raise Missing("strace is not installed")


def bomb(call: str, number: int) -> list[str]:
    """The start of a command that kills at that call of a thread."""
    silent = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
    return [need(strace), *silent, "-e", f"inject={call}:signal=KILL:when={number}"]


def points() -> Iterator[tuple[str, int]]:
    """PostgreSQL's client sends by sendto, Kafka's by sendmsg."""
    for call in ("sendto", "sendmsg"):
        yield from ((call, number) for number in range(1, MOST))


def test_a_relay_may_die_at_any_point(quiet: World, seed: int, record_property: Recorder) -> None:
    traffic, seen = Traffic(quiet.web, seed=seed), Counter[str]()
    quiet.traffics.append(traffic)
    done: set[str] = set()
    again = 0  # messages that Kafka has and the outbox still shows
    for call, number in points():
        if call in done:
            continue
        batch = [post(quiet, Sent(str(uuid.uuid4()), user % 2 + 1, "1.00")) for user in range(ACTIONS)]
        traffic.sent.extend(batch)
        relay = [sys.executable, "manage.py", "relay_actions", "--once", "--skip-checks"]
        ended = subprocess.run(
            [*bomb(call, number), *relay], cwd=ROOT, env=quiet.stack.environment, capture_output=True, timeout=120
        )
        if ended.returncode == 0:
            done.add(call)
        else:
            left = behind(quiet, batch)
            seen[left] += 1
            again += quiet.waiting() if left == DELIVERED_TWICE else 0
    quiet.repair()
    found = quiet.account_for(traffic)
    judge(record_property, "7 relay dies at each send", found, recovery=0, duplicates=again, notes=words(seen))
    assert len(seen) == 3, f"the sweep does not meet all states: {seen}"


def behind(world: World, batch: list[Sent]) -> str:
    """What a crash of the relay left."""
    ids = {sent.event_id for sent in batch}
    arrived = {message[0] for message in read_messages(read_topic(world.kafka.address, TOPIC))} & ids
    if not arrived:
        return "not in Kafka"
    return "in Kafka and forgotten" if world.waiting() == 0 else DELIVERED_TWICE


def post(world: World, sent: Sent) -> Sent:
    """Posts until it is acknowledged."""

    def acked() -> bool:
        sent.attempts.append(attempt(world.web, sent.body()))
        return sent.verdict == "acked"

    wait_for(acked, "an acknowledgement")
    return sent


def words(seen: Counter[str]) -> str:
    """The distribution of states."""
    return "seen: " + ", ".join(f"{state} {times}x" for state, times in seen.most_common())
