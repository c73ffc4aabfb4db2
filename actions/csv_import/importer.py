"""Bulk import of actions: each batch of lines is one transaction, and a rerun adds only what is missing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Protocol
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from actions.csv_import.reader import BadRow, Row
from actions.models import UserAction
from actions.recording import record_actions
from actions.signals import actions_imported
from ccweb.events.erasure import erased_among_many, hold_off_erasures
from ccweb.events.idempotency import Event

BATCH = 20_000  # rows; PostgreSQL still sorts them in memory
PUBLISHED_BATCH = 1_000  # rows for record_actions(), whose arrays and verdicts are sized for the lists of requests
FIELDS = ("event_id", "user_id", "action_type", "value", "action_timestamp", "order_id")
LISTED = ", ".join(FIELDS)
CREATE = f"CREATE TEMPORARY TABLE incoming AS SELECT id AS line, {LISTED} FROM user_actions WHERE false"
STORE = f"""INSERT INTO user_actions ({LISTED}, received_at) SELECT {LISTED}, %s FROM incoming
    ORDER BY line ON CONFLICT (event_id) DO NOTHING"""
CONFLICTS = """SELECT line FROM incoming i JOIN user_actions a USING (event_id) WHERE
    (i.user_id, i.action_type, i.value, i.action_timestamp) <> (a.user_id, a.action_type, a.value, a.action_timestamp)
    OR (i.order_id IS NOT NULL AND i.order_id IS DISTINCT FROM a.order_id) ORDER BY line"""
COLUMNS = {field.attname: field for field in UserAction._meta.concrete_fields}
CONFLICT = "another action with this event_id is stored"


@dataclass
class Tally:
    """Counts of the lines in the committed batches."""

    read: int = 0
    stored: int = 0
    known: int = 0
    bad: int = 0
    erased: int = 0

    unit: str = "line"  # what was read, in the singular

    def __str__(self) -> str:
        erased = f", {self.erased} of erased users left out" if self.erased else ""
        read = f"{self.read} {self.unit}s read"
        return f"{read}, {self.stored} stored, {self.known} already there, {self.bad} bad{erased}"


class Source(Protocol):
    """What actions are imported from. `unit` is what it consists of, in the singular."""

    unit: str

    def __iter__(self) -> Iterator[Row | BadRow]: ...

    def place(self, line: int) -> str:
        """Where the row with this number stands."""


def import_actions(*, rows: Source, publish: bool, report: Callable[[BadRow], None]) -> Iterator[Tally]:
    """Store the rows, batch by batch; yields the tally after each commit.

    `publish` writes the outbox rows in the same transactions; `report` is called with every line that is left out as
    bad. Raises DatabaseError; the batches before it are committed, and a rerun adds the rest.
    """
    tally = Tally(unit=rows.unit)
    try:
        yield from _import(rows, publish, report, tally)
        if tally.stored:
            _analyse()
    finally:
        if tally.stored:
            actions_imported.send_robust(sender=UserAction)


def _analyse() -> None:
    """Update the planner's statistics now: an RFM run may start before autovacuum does so, about a minute later."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE user_actions")


def _import(rows: Source, publish: bool, report: Callable[[BadRow], None], tally: Tally) -> Iterator[Tally]:
    remaining = iter(rows)
    while batch := list(islice(remaining, PUBLISHED_BATCH if publish else BATCH)):
        good = [row for row in batch if isinstance(row, Row)]
        bad = [row for row in batch if isinstance(row, BadRow)]
        stored, erased, conflicts = _publish(good) if publish else _store(good)
        bad += [BadRow(rows.place(line), CONFLICT) for line in conflicts]
        for row in bad:
            report(row)
        tally.read += len(batch)
        tally.stored += stored
        tally.erased += erased
        tally.bad += len(bad)
        tally.known += len(batch) - len(bad) - stored - erased
        yield tally


def _publish(rows: Sequence[Row]) -> tuple[int, int, list[int]]:
    if not rows:
        return 0, 0, []
    statuses = [verdict.status for verdict in record_actions(actions=[_sent(row) for row in rows])]
    conflicts = [row.line for row, status in zip(rows, statuses, strict=True) if status == "conflict"]
    return statuses.count("accepted"), statuses.count("erased"), conflicts


def _store(rows: Sequence[Row]) -> tuple[int, int, list[int]]:
    """How many rows were stored, how many belong to erased users, and the lines that conflict with stored actions."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CREATE)
        hold_off_erasures(UserAction)
        gone = erased_among_many({int(row.user_id) for row in rows})
        kept = [row for row in rows if int(row.user_id) not in gone] if gone else rows
        _load(cursor, kept)
        cursor.execute(STORE, _prepared({"received_at": timezone.now()}))
        stored, conflicts = cursor.rowcount, []
        # A derived id implies equal content, but for the order.
        if stored < len(kept) and any(row.given or row.order_id for row in kept):
            if connection.vendor == "postgresql":
                cursor.execute("ANALYZE incoming")  # else the plan reads all of user_actions for each batch
            cursor.execute(CONFLICTS)
            conflicts = [line for (line,) in cursor.fetchall()]
        cursor.execute("DROP TABLE incoming")
    return stored, len(rows) - len(kept), conflicts


def _load(cursor: CursorWrapper, rows: Sequence[Row]) -> None:
    """Insert the rows into the temporary table `incoming`."""
    if connection.vendor == "postgresql":
        with cursor.copy(f"COPY incoming (line, {LISTED}) FROM STDIN") as copy:
            copy.write("".join([f"{a}\t{b}\t{c}\t{d}\t{e}\t{f}\t{_copied(g)}\n" for a, b, c, d, e, f, g, _ in rows]))
        return
    values = [[row.line, *_prepared(_event(row))] for row in rows]
    cursor.executemany(f"INSERT INTO incoming (line, {LISTED}) VALUES (%s, %s, %s, %s, %s, %s, %s)", values)


def _copied(order_id: str) -> str:
    """Text as COPY reads it; an order_id has no control characters."""
    return order_id.replace("\\", r"\\") if order_id else r"\N"


def _prepared(event: Event) -> list[Any]:
    return [COLUMNS[name].get_db_prep_save(value, connection) for name, value in event.items()]


def _sent(row: Row) -> Event:
    """A line without an order says nothing about it: it is a duplicate of an action with one."""
    return {name: value for name, value in _event(row).items() if value is not None}


def _event(row: Row) -> Event:
    return {
        "event_id": str(UUID(row.event_id)),
        "user_id": int(row.user_id),
        "action_type": row.action_type,
        "value": Decimal(row.value),
        "action_timestamp": datetime.fromisoformat(row.action_timestamp),
        "order_id": row.order_id or None,
    }
