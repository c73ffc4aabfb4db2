"""PostgreSQL is killed or restarted: acknowledged actions stay stored and are published to Kafka."""

import os
import random
import signal
import time

import psycopg
import pytest

from tests.faults.figures import Recorder, record_and_check
from tests.faults.lengths import scaled
from tests.faults.traffic import Traffic
from tests.faults.world import World
from tests.support.os_processes import run, send, wait_for
from tests.support.servers import Service, skip_or_fail

pytestmark = [pytest.mark.stack, pytest.mark.long]
BATCH = 200
SERVER_PROCESSES = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


def recovered(world: World, traffic: Traffic, healed: float) -> float:
    """The seconds until an action is acknowledged again and all earlier ones are delivered."""
    traffic.wait_for_ack(healed)
    world.wait_for_delivery()
    return time.monotonic() - healed


def test_a_killed_backend_loses_nothing(world: World, seed: int, record_property: Recorder) -> None:
    choose, recovery = random.Random(seed), 0.0
    with world.traffic(seed) as traffic:
        for _ in range(scaled(10)):
            time.sleep(choose.uniform(0.2, 1))
            with psycopg.connect(world.stack.database_url) as database:
                pids = [row[0] for row in database.execute(SERVER_PROCESSES)]
            send(signal.SIGKILL, [choose.choice(pids)])
            recovery = max(recovery, recovered(world, traffic, time.monotonic()))
    found = world.reconcile(traffic)
    record_and_check(
        record_property, f"16 backend killed x{scaled(10)}", found, recovery=recovery, duplicates=BATCH * scaled(10)
    )


@pytest.mark.parametrize("times", [10])
def test_a_killed_server_keeps_what_it_acknowledged(
    world: World, seed: int, record_property: Recorder, times: int
) -> None:
    choose, recovery = random.Random(seed), 0.0
    with world.traffic(seed) as traffic:
        for _ in range(scaled(times)):
            time.sleep(choose.uniform(0.5, 1.5))
            world.postgres.kill()
            start_again(world.postgres)
            recovery = max(recovery, recovered(world, traffic, time.monotonic()))
    found = world.reconcile(traffic)
    record_and_check(
        record_property,
        f"17 PostgreSQL killed x{scaled(times)}",
        found,
        recovery=recovery,
        duplicates=BATCH * scaled(times),
    )


def test_a_restarted_server_loses_nothing(world: World, seed: int, record_property: Recorder) -> None:
    recovery = 0.0
    with world.traffic(seed) as traffic:
        for _ in range(3):
            time.sleep(1)
            world.postgres.stop()
            world.postgres.start()
            recovery = max(recovery, recovered(world, traffic, time.monotonic()))
    record_and_check(
        record_property,
        "18 PostgreSQL restarted x3",
        world.reconcile(traffic),
        recovery=recovery,
        duplicates=3 * BATCH,
    )


def close_connections(world: World) -> None:
    """Close every connection to PostgreSQL and Kafka."""
    if os.geteuid() != 0:
        skip_or_fail("closing connections of other processes requires root")
    for address in (world.postgres.address, world.kafka.address):
        run(["ss", "--kill", "--numeric", "--tcp", f"dport = {address.rpartition(':')[2]}"])


def start_again(server: Service) -> None:
    """Start a killed server, repeatedly: its shared memory may block a start for a while."""

    def starts() -> bool:
        try:
            server.start()
        except RuntimeError:
            return False
        return True

    wait_for(starts, "PostgreSQL to start")


def test_cut_connections_lose_nothing(world: World, seed: int, record_property: Recorder) -> None:
    with world.traffic(seed) as traffic:
        for _ in range(scaled(20, 5)):
            close_connections(world)
            time.sleep(1)
        recovery = recovered(world, traffic, time.monotonic())
    found = world.reconcile(traffic)
    record_and_check(
        record_property,
        f"29 connections cut for {scaled(20, 5)} s",
        found,
        recovery=recovery,
        duplicates=scaled(20, 5) * BATCH,
    )
