"""Statements with lists as parameters, for Django's connections and for those of the event loop."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any

import psycopg
from django.db import connection

Row = tuple[Any, ...]
NUL = "PostgreSQL text cannot hold the NUL character"


def fetch(sql: str, parameters: Sequence[Any]) -> list[Row]:
    """Execute one statement with placeholders %s and return its rows. Raises Django's DatabaseError."""
    with connection.cursor() as cursor:
        with connection.wrap_database_errors:
            sent = as_text(parameters) if connection.vendor == "postgresql" else parameters
        cursor.execute(sql, sent)
        return list(cursor.fetchall())


def as_text(parameters: Sequence[Any]) -> list[str | None]:
    """Parameters in PostgreSQL's text form: text, numbers, UUIDs, instants and lists of them; each is cast in the SQL.

    psycopg's own lists take three times as long: it looks for the type of each element and escapes it by a regular
    expression.
    """
    return [None if value is None else _as_text(value) for value in parameters]


def _as_text(value: Any) -> str:
    text = _array(value) if type(value) is list else str(value)
    if "\0" in text:
        raise psycopg.DataError(NUL)
    return text


def _array(values: Sequence[Any]) -> str:
    """An array literal; none of the values may be null."""
    joined = "\0".join(map(str, values))
    if joined.count("\0") > max(len(values) - 1, 0):
        raise psycopg.DataError(NUL)
    # Escaping the joined text takes less time than escaping each value.
    quoted = joined.replace("\\", r"\\").replace('"', r"\"").replace("\0", '","')
    return f'{{"{quoted}"}}' if values else "{}"


@cache
def numbered(sql: str) -> str:
    """The statement with its placeholders numbered as PostgreSQL writes them ($1, $2)."""
    numbers = count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", sql)
