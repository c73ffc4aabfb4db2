"""Statements with lists as parameters."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from ccweb.db.async_connection import AsyncDatabase
from ccweb.db.errors import database_is_away
from ccweb.db.statements import Row, fetch
from ccweb.request import deadline
from segments.models import UserSegment
from segments.rfm.sql import is_postgresql

pytestmark = pytest.mark.django_db(transaction=True)

ALL_KINDS = "SELECT %s::bigint, %s::text, %s::numeric, %s::uuid, %s::timestamptz = '2026-01-31T12:00:00.5Z', %s::text"
VALUES = [
    *(2**63 - 1, "Zoë's \\ 100%", Decimal("-0.10"), UUID(int=7)),
    *(datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC), None),
]
INSERT = """INSERT INTO user_segments (user_id, rfm_group, risk_profile, recency_score, frequency_score, monetary_score,
    frequency, monetary, last_updated) VALUES (%s, 'Low', 'Unknown', 1, 1, 1, 0, 0, '2026-01-31T12:00:00Z')
    RETURNING user_id"""


@pytest.fixture(autouse=True)
def postgresql() -> None:
    if not is_postgresql():
        pytest.skip("SQLite has no lists: its statements get JSON")


async def fetch_asynchronously(sql: str, parameters: Sequence[Any]) -> list[Row]:
    database = AsyncDatabase()
    try:
        return await database.fetch(sql, parameters)
    finally:
        await database.close()


def end_session() -> None:
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])


def test_values_come_back_as_they_were_sent() -> None:
    expected = [(2**63 - 1, "Zoë's \\ 100%", Decimal("-0.10"), UUID(int=7), True, None)]
    assert fetch(ALL_KINDS, VALUES) == expected
    assert asyncio.run(fetch_asynchronously(ALL_KINDS, VALUES)) == expected


ODD_TEXTS = ["", "NULL", "null", 'a "quoted" one', "back\\slash", "{a,b}", "comma, space ", "line\nbreak", "\u00e9"]


@pytest.mark.parametrize("texts", [[], [""], ODD_TEXTS])
def test_a_list_is_an_array_whatever_it_holds(texts: list[str]) -> None:
    assert fetch("SELECT unnest(%s::text[])", [texts]) == [(text,) for text in texts]
    assert fetch("SELECT unnest(%s::bigint[])", [[1, 2**63 - 1]]) == [(1,), (2**63 - 1,)]
    assert fetch("SELECT unnest(%s::numeric[])", [[Decimal("-0.10")]]) == [(Decimal("-0.10"),)]


def test_it_commits_at_once_and_goes_with_its_transaction() -> None:
    assert fetch(INSERT, [1]) == [(1,)]
    with transaction.atomic():
        fetch(INSERT, [2])
        transaction.set_rollback(True)
    connection.set_autocommit(False)
    fetch(INSERT, [3])
    connection.rollback()
    connection.set_autocommit(True)
    assert list(UserSegment.objects.values_list("user_id", flat=True)) == [1]


def test_an_error_is_djangos() -> None:
    fetch(INSERT, [1])
    with pytest.raises(IntegrityError, match="user_segments_pkey"):
        fetch(INSERT, [1])
    assert fetch(INSERT, [2]) == [(2,)]


def test_a_session_that_was_ended_between_two_requests_is_not_noticed() -> None:
    fetch(INSERT, [1])
    end_session()
    connection.close_if_unusable_or_obsolete()  # as every request ends
    assert fetch(INSERT, [2]) == [(2,)]


def test_a_session_that_was_ended_within_a_request_is_an_operational_error() -> None:
    fetch(INSERT, [1])
    end_session()
    with pytest.raises(OperationalError):
        fetch(INSERT, [2])
    connection.close_if_unusable_or_obsolete()
    assert fetch(INSERT, [3]) == [(3,)]


def test_a_nul_is_refused_not_cut_off() -> None:
    with pytest.raises(DataError, match="NUL"):
        fetch("SELECT %s::text", ["a\0b"])
    with pytest.raises(DataError, match="NUL"):
        fetch("SELECT %s::text[]", [["a", "b\0c"]])


def test_the_event_loop_gets_djangos_errors_and_goes_on() -> None:
    async def run() -> None:
        database = AsyncDatabase()
        assert await database.fetch(INSERT, [1]) == [(1,)]
        with pytest.raises(IntegrityError, match="user_segments_pkey"):
            await database.fetch(INSERT, [1])
        with pytest.raises(DataError, match="NUL"):
            await database.fetch("SELECT %s::text", ["a\0b"])
        with pytest.raises(OperationalError) as caught:
            await database.fetch("SELECT pg_terminate_backend(pg_backend_pid())", [])
        assert database_is_away(caught.value)
        assert await database.fetch(INSERT, [2]) == [(2,)]
        await database.close()

    asyncio.run(run())


def test_a_server_that_does_not_answer_is_left_at_the_deadline() -> None:
    async def run() -> None:
        database = AsyncDatabase()
        with deadline.until(time.monotonic() + 0.3), pytest.raises(OperationalError, match="deadline"):
            await database.fetch("SELECT pg_sleep(60)", [])
        assert await database.fetch("SELECT 1", []) == [(1,)]
        await database.close()

    asyncio.run(run())
    with deadline.until(time.monotonic() + 0.3), pytest.raises(OperationalError, match="deadline"):
        connection.close()
        fetch("SELECT pg_sleep(60)", [])
    connection.close_if_unusable_or_obsolete()
    assert fetch("SELECT 1", []) == [(1,)]


def test_captured_queries_contain_the_statement() -> None:
    with CaptureQueriesContext(connection) as captured:
        fetch(INSERT, [1])
    assert len(captured) == 1
