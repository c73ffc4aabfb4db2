"""Kafka is down, slow or returns errors: requests are unaffected, and all messages arrive when it has recovered."""

import time

import psycopg
import pytest

from tests.benchmarks.load import cpu_seconds
from tests.faults.figures import Recorder, record_and_check
from tests.faults.lengths import MINUTES
from tests.faults.traffic import percentile, statuses
from tests.faults.world import TOPIC, World
from tests.support.kafka_mock import (
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    PRODUCE,
    REQUEST_TIMED_OUT,
    TOPIC_AUTHORIZATION_FAILED,
)
from tests.support.manage_process import start
from tests.support.servers import Kafka

pytestmark = [pytest.mark.stack, pytest.mark.long]
BATCH = 200
TOO_LARGE = """INSERT INTO outbox (topic, key, payload, headers, created_at, error)
    VALUES (%s, '1', repeat('x', 2000000), '{}', now(), '')"""
RELAY_WITH_A_SHORT_QUEUE = """
from actions.kafka import config
from actions.relay.relay import Relay
config.PRODUCER["queue.buffering.max.messages"] = 10
Relay().run()
"""


@pytest.mark.parametrize("outage", [10, 0])
def test_an_outage_of_kafka_delays_and_loses_nothing(
    world: World, seed: int, record_property: Recorder, outage: float
) -> None:
    """An outage of 0 stands for one of FAULT_MINUTES."""
    seconds = outage or MINUTES * 60
    assert isinstance(world.kafka, Kafka)
    with world.traffic(seed) as traffic:
        time.sleep(min(seconds, 20))
        world.kafka.kill()
        killed = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        world.kafka.start()
        healed = time.monotonic()
        world.wait_for_delivery()
        recovery = time.monotonic() - healed
    before, during = traffic.between(0, killed), traffic.between(killed, ended)
    ratio = percentile([a.seconds for a in during], 0.99) / percentile([a.seconds for a in before], 0.99)
    notes = f"POST during the outage: {statuses(during)}, p99 {ratio:.2f} of before"
    record_and_check(
        record_property,
        f"8 Kafka killed, {seconds:.0f} s",
        world.reconcile(traffic),
        recovery=recovery,
        notes=notes,
    )
    assert set(statuses(during)) == {"201"}


def test_a_moved_partition_leader_delays_and_loses_nothing(
    failing: World, seed: int, record_property: Recorder
) -> None:
    cluster = failing.kafka
    with failing.traffic(seed) as traffic:
        cluster.down(1)
        for partition in range(3):
            cluster.set_leader(TOPIC, partition, 2)
        recovery = failing.wait_for_delivery()
        cluster.up(1)
        time.sleep(3)
    found = failing.reconcile(traffic)
    record_and_check(record_property, "9 one broker down, leader moves", found, recovery=recovery, duplicates=BATCH)


def test_transient_errors_cause_no_duplicates(failing: World, seed: int, record_property: Recorder) -> None:
    with failing.traffic(seed) as traffic:
        failing.kafka.fail(PRODUCE, *[NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT] * 17)
        recovery = failing.wait_for_delivery()
    record_and_check(record_property, "10 transient errors x51", failing.reconcile(traffic), recovery=recovery)


def test_a_denied_permission_delays_and_loses_nothing(failing: World, seed: int, record_property: Recorder) -> None:
    with failing.traffic(seed) as traffic:
        failing.kafka.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 3)
        recovery = failing.wait_for_delivery()
    log = failing.relays[0].log.read_text()
    found = failing.reconcile(traffic)
    record_and_check(record_property, "12 permission refused x3", found, recovery=recovery, duplicates=3 * BATCH)
    assert "TOPIC_AUTHORIZATION_FAILED" in log, "no error was logged"


def test_a_broker_slower_than_the_timeout_loses_nothing(failing: World, seed: int, record_property: Recorder) -> None:
    with failing.traffic(seed, rate=20) as traffic:
        failing.kafka.slow(12_000)  # the client times out after 10 s
        time.sleep(25)
        failing.kafka.slow(0)
        recovery = failing.wait_for_delivery()
    found = failing.reconcile(traffic)
    record_and_check(record_property, "13 answers take 12 s", found, recovery=recovery, duplicates=4 * BATCH)


def test_messages_that_kafka_rejects_are_quarantined(world: World, seed: int, record_property: Recorder) -> None:
    with world.traffic(seed) as traffic:
        for _ in range(3):
            time.sleep(0.3)
            with psycopg.connect(world.stack.database_url) as database:
                database.execute(TOO_LARGE, [TOPIC])
        recovery = world.wait_for_delivery()
    found = world.reconcile(traffic)
    with psycopg.connect(world.stack.database_url) as database:
        quarantined = database.execute("DELETE FROM outbox WHERE quarantined_at IS NOT NULL").rowcount
    record_and_check(
        record_property, "12 message too large x3", found, recovery=recovery, notes=f"{quarantined} quarantined"
    )
    assert quarantined == 3


def test_a_full_queue_is_waited_for_without_a_busy_loop(failing: World, seed: int, record_property: Recorder) -> None:
    failing.relays.pop().kill()
    with start(failing.stack, "shell", "-v0", "-c", RELAY_WITH_A_SHORT_QUEUE) as relay:
        with failing.traffic(seed) as traffic:
            failing.wait_for_delivery()
            failing.kafka.down()
            begun = cpu_seconds([relay.pid])
            time.sleep(5)
            share = (cpu_seconds([relay.pid]) - begun) / 5
            failing.kafka.up()
            recovery = failing.wait_for_delivery()
        found = failing.reconcile(traffic)
    notes = f"{share:.0%} of a processor while it waits"
    record_and_check(
        record_property, "14 producer's queue full", found, recovery=recovery, duplicates=2 * BATCH, notes=notes
    )
    assert share < 0.5
