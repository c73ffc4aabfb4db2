"""The outbox cursor reads by primary key and misses no late commit, whatever the number of dead rows."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection, transaction

from actions.models import OutboxMessage
from actions.relay.outbox_cursor import OutboxCursor
from ccweb.db.commit_order import OVERLAP
from tests.support.os_processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
INSERT = """INSERT INTO outbox (topic, key, payload, headers, created_at, error)
    VALUES ('t', '7', %s, '{}', now(), '') RETURNING id"""


@pytest.fixture(autouse=True)
def requires_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite leaves no dead rows")


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    connection.ensure_connection()
    with psycopg.connect(connection.connection.info.dsn) as other:
        yield other


def queue(payload: str, pk: int | None = None) -> int:
    return OutboxMessage.objects.create(pk=pk, topic="t", key="7", payload=payload).pk


def skip_ids() -> None:
    """As if other writers had used and committed these ids."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('outbox_id_seq', nextval('outbox_id_seq') + %s)", [2 * OVERLAP])


def publish(cursor: OutboxCursor) -> list[str]:
    """Read and delete a batch, as the relay does."""
    batch = cursor.batch(200)
    OutboxMessage.objects.delete_delivered([message.pk for message in batch])
    return [message.payload for message in batch]


def publish_far_apart(cursor: OutboxCursor) -> None:
    for payload in ("a", "b", "c", "d"):
        skip_ids()
        queue(payload)
        assert publish(cursor) == [payload]


def test_a_row_that_is_committed_late_comes_before_what_its_user_sends_then(other: psycopg.Connection) -> None:
    cursor = OutboxCursor()
    publish_far_apart(cursor)
    other.execute(INSERT, ["late"])
    publish_far_apart(cursor)
    other.commit()
    queue("then")
    assert publish(cursor) == ["late", "then"]


def test_a_row_that_is_queued_again_at_its_old_position_is_found_while_newer_ones_arrive() -> None:
    cursor, begin = OutboxCursor(), queue("begin")
    publish(cursor)
    publish_far_apart(cursor)
    queue("again", pk=begin)

    def is_found() -> bool:
        queue("newer")
        return "again" in publish(cursor)

    wait_for(is_found, "the old row")


def test_the_next_rows_are_read_by_primary_key_though_statistics_say_the_outbox_is_empty() -> None:
    scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'outbox'"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox")  # which is empty
        OutboxMessage.objects.bulk_create(OutboxMessage(topic="t", key="7", payload=str(n)) for n in range(5_000))
        cursor.execute(scans)
        before = cursor.fetchone()
        assert [message.payload for message in OutboxCursor().batch(3)] == ["0", "1", "2"]
        cursor.execute(scans)
        assert cursor.fetchone() == before
