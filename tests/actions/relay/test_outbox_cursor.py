"""The outbox is read along its key and in the order of commits, however much of it is gone already."""

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
def dead_rows_are_a_matter_of_postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite removes a deleted row at once")


@pytest.fixture
def other() -> Iterator[psycopg.Connection]:
    connection.ensure_connection()
    with psycopg.connect(connection.connection.info.dsn) as other:
        yield other


def queue(payload: str, pk: int | None = None) -> int:
    return OutboxMessage.objects.create(pk=pk, topic="t", key="7", payload=payload).pk


def skip_ids() -> None:
    """As if others had drawn and committed so many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('outbox_id_seq', nextval('outbox_id_seq') + %s)", [2 * OVERLAP])


def publish(reading: OutboxCursor) -> list[str]:
    """What the relay does with a batch."""
    batch = reading.batch(200)
    OutboxMessage.objects.delete_delivered([message.pk for message in batch])
    return [message.payload for message in batch]


def deliver_far_apart(reading: OutboxCursor) -> None:
    for payload in ("a", "b", "c", "d"):
        skip_ids()
        queue(payload)
        assert publish(reading) == [payload]


def test_a_row_that_is_committed_late_comes_before_what_its_user_sends_then(other: psycopg.Connection) -> None:
    reading = OutboxCursor()
    deliver_far_apart(reading)
    other.execute(INSERT, ["late"])
    deliver_far_apart(reading)
    other.commit()
    queue("then")
    assert publish(reading) == ["late", "then"]


def test_a_row_that_waits_again_in_its_old_place_is_found_while_newer_ones_come() -> None:
    reading, begin = OutboxCursor(), queue("begin")
    publish(reading)
    deliver_far_apart(reading)
    queue("again", pk=begin)

    def is_found() -> bool:
        queue("newer")
        return "again" in publish(reading)

    wait_for(is_found, "the old row")


def test_the_next_rows_are_found_by_their_key_however_empty_the_outbox_was() -> None:
    scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'outbox'"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox")  # which is empty
        OutboxMessage.objects.bulk_create(OutboxMessage(topic="t", key="7", payload=str(n)) for n in range(5_000))
        cursor.execute(scans)
        before = cursor.fetchone()
        assert [message.payload for message in OutboxCursor().batch(3)] == ["0", "1", "2"]
        cursor.execute(scans)
        assert cursor.fetchone() == before
