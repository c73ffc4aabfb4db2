"""A statement through libpq itself, prepared once a connection: it costs less than half the CPU of a cursor."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha1
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

Row = tuple[str | None, ...]
_prepared: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()


def fetch(sql: str, parameters: Sequence[Any]) -> list[Row]:
    """The rows of one statement, every value as text; raises Django's DatabaseError.

    Through Django's cursor where somebody looks on (DEBUG, a wrapper), in a transaction, which psycopg opens with its
    first statement, and on SQLite.
    """
    database = connections[DEFAULT_DB_ALIAS]
    database.ensure_connection()
    if database.vendor != "postgresql" or not database.autocommit or _is_watched(database):
        return _fetch_by_cursor(database, sql, parameters)
    values = [None if value is None else str(value).encode() for value in parameters]
    with database.wrap_database_errors:
        return list(_rows(_execute(database.connection, sql, values)))


def _is_watched(database: BaseDatabaseWrapper) -> bool:
    return bool(database.queries_logged or database.execute_wrappers)


def _fetch_by_cursor(database: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> list[Row]:
    with database.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [tuple(None if value is None else str(value) for value in row) for row in cursor.fetchall()]


def _execute(database: psycopg.Connection[Any], sql: str, values: Sequence[bytes | None]) -> PGresult:
    name, text = _statement(sql)
    known = _prepared.setdefault(database, set())
    if name not in known:
        _checked(database.pgconn, database.pgconn.prepare(name, text))
        known.add(name)
    return _checked(database.pgconn, database.pgconn.exec_prepared(name, values))  # type: ignore[arg-type]  # None is null


@cache
def _statement(sql: str) -> tuple[bytes, bytes]:
    """Its name, and its text as libpq numbers parameters."""
    numbers = count(1)
    text = re.sub("%s", lambda _: f"${next(numbers)}", sql).encode()
    return b"ccweb_" + sha1(text, usedforsecurity=False).hexdigest().encode(), text


def _checked(server: PGconn, result: PGresult) -> PGresult:
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    if server.status != ConnStatus.OK:  # an error without a code
        raise psycopg.OperationalError(result.get_error_message())
    raise errors.error_from_result(result)


def _rows(result: PGresult) -> Iterator[Row]:
    for row in range(result.ntuples):
        cells = [result.get_value(row, column) for column in range(result.nfields)]
        yield tuple(None if cell is None else cell.decode() for cell in cells)
