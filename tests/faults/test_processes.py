"""Web workers and relays are killed, frozen or stopped."""

import random
import signal
import time

import pytest

from tests.faults.figures import Recorder, record_and_check
from tests.faults.lengths import scaled
from tests.faults.world import World
from tests.support.deployment import Program
from tests.support.os_processes import send, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.long]
BATCH = 200  # messages that a relay may deliver twice when it is killed
RESPAWN_SECONDS = 6.0  # granian ends a server whose new worker dies within 5.5 s


@pytest.mark.parametrize("times", [20])
def test_a_killed_web_worker_loses_nothing(world: World, seed: int, record_property: Recorder, times: int) -> None:
    choose, recovery = random.Random(seed), 0.0
    with world.traffic(seed) as traffic:
        for _ in range(scaled(times)):
            time.sleep(1)
            server, *workers = world.stack.web.pids()
            victim = choose.choice(workers)
            send(signal.SIGKILL, [victim])
            killed = time.monotonic()
            wait_for(lambda v=victim: replaced(world, v), "a new worker")
            world.repair()
            recovery = max(recovery, traffic.wait_for_ack(killed) - killed)
            time.sleep(RESPAWN_SECONDS if times > 1 else 0)
    record_and_check(
        record_property, f"1 web worker killed x{scaled(times)}", world.reconcile(traffic), recovery=recovery
    )


@pytest.mark.parametrize("times", [20])
def test_a_killed_relay_loses_nothing(world: World, seed: int, record_property: Recorder, times: int) -> None:
    choose, recovery, takeover = random.Random(seed), 0.0, 0.0
    with world.traffic(seed) as traffic:
        for _ in range(scaled(times)):
            time.sleep(choose.uniform(0.2, 0.8))
            victim = world.leader()
            victim.kill()
            takeover = max(takeover, replacement(world, victim))
            recovery = max(recovery, world.wait_for_delivery())
            victim.start()
    found = world.reconcile(traffic)
    fault, bound, notes = (
        f"4 relay killed x{scaled(times)}",
        BATCH * scaled(times),
        f"next leader in {takeover:.1f} s",
    )
    record_and_check(record_property, fault, found, recovery=recovery, duplicates=bound, notes=notes)


@pytest.mark.parametrize("seconds", [60])
def test_a_frozen_relay_is_replaced_and_fenced(
    world: World, seed: int, record_property: Recorder, seconds: int
) -> None:
    with world.traffic(seed) as traffic:
        victim = world.leader()
        victim.freeze()
        takeover = replacement(world, victim)
        recovery = world.wait_for_delivery()
        time.sleep(scaled(seconds))
        victim.thaw()
        time.sleep(1)
        world.wait_for_delivery()
    assert world.leader() is not victim
    assert "the leader's database session has ended" in victim.log.read_text()
    assert takeover < 30, "docs/operations.md says 2 s, on an idle machine"
    found = world.reconcile(traffic)
    fault, notes = f"5 relay frozen {scaled(seconds)} s", f"next leader in {takeover:.1f} s"
    record_and_check(record_property, fault, found, recovery=recovery, duplicates=BATCH, notes=notes)


def test_a_stopped_relay_finishes_its_batch(world: World, seed: int, record_property: Recorder) -> None:
    slowest = recovery = 0.0
    with world.traffic(seed) as traffic:
        for _ in range(scaled(10)):
            victim = world.leader()
            told = time.monotonic()
            victim.stop()
            slowest = max(slowest, time.monotonic() - told)
            recovery = max(recovery, world.wait_for_delivery())
            victim.start()
            time.sleep(0.5)
    notes = f"stopped within {slowest:.1f} s"
    record_and_check(
        record_property,
        f"6 relay stopped x{scaled(10)}",
        world.reconcile(traffic),
        recovery=recovery,
        notes=notes,
    )
    assert slowest <= 10


def replacement(world: World, victim: Program) -> float:
    """The seconds until another relay leads."""
    begun = time.monotonic()
    wait_for(lambda: world.leader() is not victim, "the other relay to lead")
    return time.monotonic() - begun


def replaced(world: World, worker: int) -> bool:
    """Whether a new worker runs, or the server has exited because too many died, and its supervisor must start it."""
    pids = world.stack.web.pids()
    return worker not in pids and len(pids) in (0, 3)
