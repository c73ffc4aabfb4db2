"""Random faults at random times, chosen by a seed, for FAULT_MINUTES."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults.figures import Recorder, record_and_check
from tests.faults.lengths import MINUTES
from tests.faults.test_databases import close_connections, start_again
from tests.faults.world import World
from tests.support.os_processes import send
from tests.support.servers import Service

pytestmark = [pytest.mark.stack, pytest.mark.long]
BATCH = 200
FAULT_SECONDS = 3.0  # the mean duration of a freeze or an outage
Fault = Callable[[World, random.Random], None]


def kill_a_worker(world: World, choose: random.Random) -> None:
    if workers := world.stack.web.pids()[1:]:
        send(signal.SIGKILL, [choose.choice(workers)])


def kill_the_web_server(world: World, choose: random.Random) -> None:
    world.stack.web.kill()


def kill_a_relay(world: World, choose: random.Random) -> None:
    choose.choice(world.relays).kill()


def stop_a_relay(world: World, choose: random.Random) -> None:
    choose.choice(world.relays).stop()


def freeze(choice: Callable[[World, random.Random], Service]) -> Fault:
    def fault(world: World, choose: random.Random) -> None:
        victim = choice(world, choose)
        victim.freeze()
        time.sleep(choose.uniform(0.5, 2 * FAULT_SECONDS))
        victim.thaw()

    return fault


def kill_kafka(world: World, choose: random.Random) -> None:
    assert isinstance(world.kafka, Service)
    world.kafka.kill()
    time.sleep(choose.uniform(0, 2 * FAULT_SECONDS))
    world.kafka.start()


def kill_postgresql(world: World, choose: random.Random) -> None:
    world.postgres.kill()
    start_again(world.postgres)


def restart_postgresql(world: World, choose: random.Random) -> None:
    world.postgres.stop()
    world.postgres.start()


def cut_connections(world: World, choose: random.Random) -> None:
    close_connections(world)


FAULTS: dict[str, Fault] = {
    "worker killed": kill_a_worker,
    "web server killed": kill_the_web_server,
    "relay killed": kill_a_relay,
    "relay stopped": stop_a_relay,
    "relay frozen": freeze(lambda world, choose: choose.choice(world.relays)),
    "PostgreSQL frozen": freeze(lambda world, choose: world.postgres),
    "PostgreSQL killed": kill_postgresql,
    "PostgreSQL restarted": restart_postgresql,
    "Kafka killed": kill_kafka,
} | ({"connections cut": cut_connections} if os.geteuid() == 0 else {})


def test_any_faults_in_any_order_lose_nothing(world: World, seed: int, record_property: Recorder) -> None:
    choose, done = random.Random(seed), Counter[str]()
    with world.traffic(seed, rate=60) as traffic:
        end = time.monotonic() + MINUTES * 60
        while time.monotonic() < end:
            name = choose.choice(list(FAULTS))
            print(f"{time.monotonic() - end + MINUTES * 60:6.1f} s {name}")
            FAULTS[name](world, choose)
            done[name] += 1
            world.repair()
            time.sleep(choose.uniform(0, 2 * FAULT_SECONDS))
        healed = time.monotonic()
        world.repair()
        traffic.wait_for_ack(healed)
        world.wait_for_delivery()
        recovery = time.monotonic() - healed
    notes = ", ".join(f"{name} {times}x" for name, times in done.most_common())
    bound = BATCH * done.total()
    found = world.reconcile(traffic)
    record_and_check(
        record_property, f"40 random mix, {MINUTES:g} min", found, recovery=recovery, duplicates=bound, notes=notes
    )
