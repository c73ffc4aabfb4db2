"""T8: the rate at which the relay publishes a backlog, at several sizes."""

import time

import psycopg

from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, print_progress
from tests.support.deployment import Program
from tests.support.os_processes import wait_for

BACKLOG = """INSERT INTO outbox (topic, key, payload, headers, created_at, error)
    SELECT 'topic_user_actions', user_id::text, json_build_object('user_id', user_id, 'action_type', 'purchase',
        'action_timestamp', now(), 'event_id', event_id, 'value', '19.99')::text,
        jsonb_build_object('event_id', event_id), now(), ''
    FROM (SELECT floor(random() * 50000)::bigint + 1 AS user_id, gen_random_uuid() AS event_id
        FROM generate_series(1, %s)) AS generated"""
DELIVERED = "SELECT COALESCE(sum(actions), 0) FROM hourly_counts"


def drain_rates(rig: Rig, scale: Scale) -> dict[int, list[float]]:
    """Messages per second by size of the backlog, measured from the first confirmed batch."""
    url = rig.database("backlog")
    stack = rig.ours(url)
    rates: dict[int, list[float]] = {size: [] for size in scale.messages}
    for _ in range(scale.runs):
        for size in scale.messages:
            with psycopg.connect(url, autocommit=True) as connection:
                rates[size].append(_drain(stack.program("relay"), connection, size))
    for size, found in rates.items():
        print_progress(f"relay: {size} messages at {', '.join(f'{rate:.0f}' for rate in found)} a second")
    return rates


def _drain(relay: Program, connection: psycopg.Connection, size: int) -> float:
    def delivered() -> int:
        return int(connection.execute(DELIVERED).fetchone()[0])  # type: ignore[index]

    connection.execute("TRUNCATE hourly_counts")
    connection.execute(BACKLOG, [size])
    connection.execute("VACUUM ANALYZE outbox")
    relay.start()
    wait_for(lambda: delivered() > 0, "the relay's first batch")
    first, begin = delivered(), time.perf_counter()
    wait_for(lambda: delivered() == size, f"{size} messages", 300)
    rate = (size - first) / (time.perf_counter() - begin)
    relay.stop()
    return rate
