"""INSERT .. ON CONFLICT (event_id) DO NOTHING for one event or a thousand, on both databases."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django.db import connection, models

from ccweb.api.erasure import token_of
from ccweb.api.idempotency import Event
from ccweb.api.prepared import fetch

ARRAY_TYPES = {
    "UUIDField": "uuid",
    "BigIntegerField": "bigint",
    "CharField": "text",  # not varchar(n): an explicit cast to it truncates silently
    "DecimalField": "numeric",
    "DateTimeField": "timestamptz",
}


def postgresql_insert(
    model: type[models.Model],
    columns: Sequence[str],
    *,
    single: bool = False,
    extra: str = "",
    then: str = "",
    also: str = "",
) -> str:
    """One statement for any number of events, or a cheaper one for one: event_id and id of the stored rows back.

    Its parameters begin with arrays(); with `single` they are scalars. `extra` names further text columns of `sent`
    (their values come next), `then` further common table expressions that read `sent` and `stored`; `also` is a scalar
    subquery that runs once when something was stored.
    """
    names = ["token", *columns, *extra.split()]
    types = ["uuid"] + [ARRAY_TYPES[model._meta.get_field(c).get_internal_type()] for c in columns]
    types += ["text"] * len(extra.split())
    # %b: arrays go in binary, because as text psycopg escapes each quote of a payload by a regular expression.
    values = ", ".join(f"%s::{t}" if single else f"%b::{t}[]" for t in types)
    source = f"(VALUES ({values}, 1))" if single else f"unnest({values}) WITH ORDINALITY"
    listed = ", ".join(columns)
    return (
        f"WITH sent AS (SELECT * FROM {source} AS t({', '.join(names)}, n)), "
        f"stored AS (INSERT INTO {model._meta.db_table} ({listed}) SELECT {listed} FROM sent "
        "WHERE NOT EXISTS (SELECT FROM erased_users e WHERE e.token = sent.token) "
        f"ORDER BY n ON CONFLICT (event_id) DO NOTHING RETURNING event_id, id){then} "
        f"SELECT event_id, id{also} FROM stored"
    )


def run(statement: str, parameters: Sequence[Any]) -> dict[UUID, int]:
    """Execute a postgresql_insert: the ids of the stored rows by event_id."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return {row[0]: row[1] for row in cursor.fetchall()}


def run_single(statement: str, event: Event, parameters: Sequence[Any]) -> dict[UUID, int]:
    """The same for one event."""
    rows = fetch(statement, parameters)
    return {event["event_id"]: int(cast(str, rows[0][1]))} if rows else {}


def arrays(events: Sequence[Event], columns: Sequence[str]) -> list[list[Any]]:
    """The events column by column, as postgresql_insert takes them: who may have been erased comes first."""
    tokens = [token_of(event["user_id"]) for event in events]
    return [tokens, *([event[column] for event in events] for column in columns)]


def scalars(event: Event, columns: Sequence[str]) -> list[Any]:
    """One event, as the statement for a single one takes it: arrays of one cost the client more than the insert."""
    return [token_of(event["user_id"]), *(event[column] for column in columns)]


def sqlite_insert(model: type[models.Model], columns: Sequence[str], events: Sequence[Event]) -> dict[UUID, int]:
    """The same on SQLite, a statement an event; call it inside a transaction."""
    fields = [cast(models.Field, model._meta.get_field(column)) for column in columns]
    sql = (
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {', '.join(['%s'] * len(columns))} "
        "WHERE NOT EXISTS (SELECT 1 FROM erased_users WHERE token = %s) ON CONFLICT (event_id) DO NOTHING"
    )
    stored = {}
    with connection.cursor() as cursor:
        for event in events:
            values = [field.get_db_prep_save(event[field.attname], connection) for field in fields]
            cursor.execute(sql, [*values, token_of(event["user_id"]).hex])
            if cursor.rowcount == 1:
                stored[event["event_id"]] = cursor.lastrowid
    return stored
