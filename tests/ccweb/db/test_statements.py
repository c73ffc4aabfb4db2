"""Statements through libpq itself behave like those of a cursor."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from ccweb.db.statements import fetch
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
def request_of_the_web_server() -> Iterator[None]:
    if not is_postgresql():
        pytest.skip("SQLite has no libpq: its statements go through the cursor")
    deadline.begin().deadline += 600  # none of them is about the time that is left
    yield
    deadline.end()


def end_session() -> None:
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])


def test_text_numbers_and_uuids_come_back_as_the_same_text_by_both_ways() -> None:
    found = fetch(ALL_KINDS, VALUES)
    assert found == [("9223372036854775807", "Zoë's \\ 100%", "-0.10", str(UUID(int=7)), "t", None)]
    with transaction.atomic():
        assert fetch(ALL_KINDS, VALUES)[0][:4] == found[0][:4]


ODD_TEXTS = ["", "NULL", "null", 'a "quoted" one', "back\\slash", "{a,b}", "comma, space ", "line\nbreak", "\u00e9"]


@pytest.mark.parametrize("texts", [[], [""], ODD_TEXTS])
def test_a_list_is_an_array_whatever_it_holds(texts: list[str]) -> None:
    assert fetch("SELECT unnest(%s::text[])", [texts]) == [(text,) for text in texts]
    assert fetch("SELECT unnest(%s::bigint[])", [[1, 2**63 - 1]]) == [("1",), (str(2**63 - 1),)]
    assert fetch("SELECT unnest(%s::numeric[])", [[Decimal("-0.10")]]) == [("-0.10",)]


def test_it_commits_at_once_and_goes_with_its_transaction() -> None:
    assert fetch(INSERT, [1]) == [("1",)]
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
    assert fetch(INSERT, [2]) == [("2",)]


def test_a_session_that_was_ended_between_two_requests_is_not_noticed() -> None:
    fetch(INSERT, [1])
    end_session()
    connection.close_if_unusable_or_obsolete()  # as every request ends
    assert fetch(INSERT, [2]) == [("2",)]


def test_a_session_that_was_ended_within_a_request_is_an_operational_error() -> None:
    fetch(INSERT, [1])
    end_session()
    with pytest.raises(OperationalError):
        fetch(INSERT, [2])
    connection.close_if_unusable_or_obsolete()
    assert fetch(INSERT, [3]) == [("3",)]


def test_it_survives_that_a_rollback_has_the_server_forget_every_statement() -> None:
    fetch(INSERT, [1])
    for _ in range(5):  # psycopg prepares what it has seen a few times
        list(UserSegment.objects.values_list("user_id", flat=True))
    with transaction.atomic():
        UserSegment.objects.update(frequency=1)
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'ccweb%'")
        assert cursor.fetchone() == (0,)
    assert fetch(INSERT, [2]) == [("2",)]
    assert fetch(INSERT, [3]) == [("3",)]


def test_a_nul_is_refused_not_cut_off() -> None:
    with pytest.raises(DataError, match="NUL"):
        fetch("SELECT %s::text", ["a\0b"])
    with pytest.raises(DataError, match="NUL"):
        fetch("SELECT %s::text[]", [["a", "b\0c"]])


def test_outside_a_request_psycopg_waits_which_ctrl_c_can_end() -> None:
    deadline.end()
    fetch(INSERT, [1])
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'ccweb%'")
        assert cursor.fetchone() == (0,)


def test_captured_queries_contain_the_statement() -> None:
    with CaptureQueriesContext(connection) as captured:
        fetch(INSERT, [1])
    assert len(captured) == 1
