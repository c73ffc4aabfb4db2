"""The check that a PostgreSQL connection survived since the last request."""

import psycopg
import pytest
from django.contrib.auth.models import Group
from django.db import InternalError, close_old_connections, connection, connections

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="only PostgreSQL has a server that hangs up"),
]


def session() -> int:
    """The server's process behind Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def end_session(pid: int) -> None:
    """As an administrator or a failover would."""
    parameters = connections["default"].get_connection_params()
    with psycopg.connect(
        dbname=parameters["dbname"], host=parameters["host"], port=parameters["port"], user="postgres"
    ) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_connection_on_which_nothing_happened_is_usable_and_kept() -> None:
    before = session()
    close_old_connections()
    assert connection.is_usable()
    assert session() == before


def test_a_session_that_the_server_ended_is_replaced_at_the_next_request() -> None:
    before = session()
    end_session(before)
    assert not connection.is_usable()
    close_old_connections()
    assert session() != before


def test_a_connection_that_turns_out_to_be_read_only_is_replaced_in_any_process() -> None:
    """After a failover it leads to what is a standby now; tests/ccweb/server/test_fast_path.py asks the event loop."""
    before = session()
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(InternalError, match="read-only"):
        Group.objects.create(name="one")
    close_old_connections()
    assert session() != before
    Group.objects.create(name="two")
