"""Latency from the response to an action until a consumer reads its message."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from tests.faults.figures import PROPERTY, Recorder, figure
from tests.faults.lengths import scaled
from tests.faults.traffic import percentile
from tests.faults.world import TOPIC, World

pytestmark = [pytest.mark.stack, pytest.mark.long]
RATE = 200  # requests per second; the clients, threads of one process, achieve a little less than their rate


@contextmanager
def arrivals(broker: str) -> Iterator[dict[str, float]]:
    """The time (time.monotonic) at which each event_id is read, from now on."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "latency", "isolation.level": "read_committed"})
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, number, OFFSET_END) for number in partitions])
    moments: dict[str, float] = {}
    end = threading.Event()

    def read() -> None:
        while not end.is_set():
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                moments[dict(message.headers() or [])["event_id"].decode()] = time.monotonic()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield moments
    finally:
        end.set()
        thread.join(10)
        consumer.close()


def test_an_action_is_in_kafka_soon_after_its_answer(world: World, seed: int, record_property: Recorder) -> None:
    world.canary()
    world.wait_for_delivery()  # the topic exists
    with arrivals(world.kafka.address) as moments:
        begun = time.monotonic()
        with world.traffic(seed, rate=1.15 * RATE, users=1000, clients=16) as traffic:
            time.sleep(scaled(60, 15))
        seconds = time.monotonic() - begun
        world.wait_for_delivery()
        time.sleep(1)
    found = world.reconcile(traffic)
    waits = [max(0.0, moments[s.event_id] - s.ended) for s in traffic.sent if s.event_id in moments]
    half, most = (f"{percentile(waits, share) * 1000:.0f} ms" for share in (0.5, 0.99))
    notes = f"{found.acked / seconds:.0f} requests/s; in Kafka {half} (median), {most} (99 %) after the answer"
    record_property(PROPERTY, figure("latency without a fault", found, None, notes))
    assert len(waits) == found.acked
    assert (found.missing, found.phantoms, found.duplicates, found.inversions) == (0, 0, 0, 0)
