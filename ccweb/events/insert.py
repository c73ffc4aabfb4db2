"""Inserts events, from one to a thousand, with INSERT .. ON CONFLICT (event_id) DO NOTHING, on both databases."""

from collections.abc import Sequence
from typing import Any, cast

from django.db import connection, models

from ccweb.db.steps import Query, Steps
from ccweb.events.erasure import token_of
from ccweb.events.idempotency import Event

ARRAY_TYPES = {
    "UUIDField": "uuid",
    "BigIntegerField": "bigint",
    "CharField": "text",  # not varchar(n): an explicit cast to it truncates silently
    "DecimalField": "numeric",
    "DateTimeField": "timestamptz",
}


class PostgreSQLInsert:
    """One statement for any number of events: it stores the new ones whose users are not erased.

    Its parameters are the events column by column, then `parameters`. `common` are columns in which all events have
    the same value. `extra` names further text columns of the input; `then` are further common table expressions that
    read them from {new}; `also` is a scalar subquery that runs once when an event was stored.
    """

    def __init__(
        self,
        model: type[models.Model],
        columns: Sequence[str],
        *,
        common: Sequence[str] = (),
        extra: str = "",
        then: str = "",
        also: str = "",
    ) -> None:
        self._columns, self._common, self._extra = columns, common, extra.split()
        self._then, self._also, self._table = then, also, model._meta.db_table
        self._nullable = {name for name in columns if model._meta.get_field(name).null}
        types = ["uuid"] + [ARRAY_TYPES[model._meta.get_field(c).get_internal_type()] for c in columns]
        self._types = [f"{name}[]" for name in [*types, *("text" for _ in self._extra)]]
        self._statements = {fresh: self._statement(fresh) for fresh in (False, True)}

    def steps(
        self,
        events: Sequence[Event],
        extra: Sequence[Sequence[str]] = (),
        parameters: Sequence[Any] = (),
        *,
        fresh: bool,
    ) -> Steps[dict[str, int]]:
        """Execute the statement; the result is the ids of the stored rows by event_id. `extra`: values of its columns.

        Fresh events have an event_id that was generated just now: without a check for an existing row the statement
        takes 0.8 of the time. Raises IntegrityError, with nothing stored, if such a row exists.
        """
        tokens = [token_of(event["user_id"]) for event in events]
        columns = [self._values(column, events) for column in self._columns]
        sent = [tokens, *columns, *extra, *(events[0][column] for column in self._common), *parameters]
        rows = yield Query(self._statements[fresh], sent)
        return {row[0]: row[1] for row in rows}  # there may be a third column, `also`

    def _values(self, column: str, events: Sequence[Event]) -> list[Any]:
        """The values of a column, of text if it is nullable: an array holds no null, so it has an empty text for it."""
        values = [event[column] for event in events]
        return [value or "" for value in values] if column in self._nullable else values

    def _statement(self, fresh: bool) -> str:
        arrays = ", ".join(f"%s::{name}" for name in self._types)
        names = ", ".join(["token", *self._columns, *self._extra, "n"])
        listed = ", ".join([*self._columns, *self._common])
        read = [f"NULLIF({column}, '')" if column in self._nullable else column for column in self._columns]
        values = ", ".join([*read, *("%s" for _ in self._common)])
        conflict = "" if fresh else "ON CONFLICT (event_id) DO NOTHING "
        # The plan for any number of events expects few of them and would compare each with each in a join, and IN is
        # planned as a join. What is tested for TRUE is not: the event_ids are hashed.
        new = "sent" if fresh else "sent WHERE (event_id IN (SELECT event_id FROM stored)) IS TRUE"
        then = self._then.format(new=new)
        return (
            f"WITH sent AS (SELECT * FROM unnest({arrays}) WITH ORDINALITY AS t({names}) "
            "WHERE NOT EXISTS (SELECT FROM erased_users e WHERE e.token = t.token)), "
            f"stored AS (INSERT INTO {self._table} ({listed}) SELECT {values} FROM sent "
            f"ORDER BY n {conflict}RETURNING event_id, id){then} SELECT event_id::text, id{self._also} FROM stored"
        )


def sqlite_insert(model: type[models.Model], columns: Sequence[str], events: Sequence[Event]) -> dict[str, int]:
    """As PostgreSQLInsert on SQLite, one statement for each event; call it inside a transaction."""
    fields = [cast(models.Field, model._meta.get_field(column)) for column in columns]
    sql = (
        f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {', '.join(['%s'] * len(columns))} "
        "WHERE NOT EXISTS (SELECT 1 FROM erased_users WHERE token = %s) ON CONFLICT (event_id) DO NOTHING"
    )
    stored = {}
    with connection.cursor() as cursor:
        for event in events:
            values = [field.get_db_prep_save(event[field.attname], connection) for field in fields]
            cursor.execute(sql, [*values, token_of(event["user_id"])])
            if cursor.rowcount == 1:
                stored[event["event_id"]] = cursor.lastrowid
    return stored
