"""The batch inside one transaction: gather what differs, count it, write it."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction

from segments.models import RfmRun
from segments.rfm import sql, user_ranges
from segments.rfm.sql import adapted
from segments.rules.scoring import WINDOW, Scoring

Row = tuple[Any, ...]
# Compiling costs more than it saves, and so does sorting the rows of a large shop on disk.
PLANNER = """SELECT set_config('jit', 'off', true),
    set_config('work_mem', GREATEST(pg_size_bytes(current_setting('work_mem')) / 1024, 65536)::text, true)"""  # kB
# PostgreSQL may take several processes (max_parallel_workers_per_gather; each takes a core from the web), but only one
# for a range: it reads the index in the order in which it groups, while several would have to merge what they found,
# which took 1.7 times as long on two idle cores (3M actions).
ONE_A_RANGE = """SELECT set_config('min_parallel_index_scan_size', '1TB', true),
    set_config('min_parallel_table_scan_size', '1TB', true)"""
# The window and the segments both come in the order of user_id: merging them takes 0.83 of the time of hashing them (3M
# actions), and with that work_mem the planner would hash the window too, which takes 1.6 times as long.
MERGED = ("enable_hashjoin", "enable_hashagg")
# Segments by their key: until autovacuum has looked at those of a first run, each range would read all of them.
READ_BY_KEY = (*MERGED, "enable_seqscan", "enable_bitmapscan")


class Place(NamedTuple):
    """Where users stand; all None for those without a row."""

    group: str
    recency: int
    frequency: int


NOWHERE = (None, None, None)


@dataclass(frozen=True)
class Move:
    """How many users go from one group to another; a user without a row stood where the lapsed stand."""

    from_group: str
    to_group: str
    users: int


@dataclass(frozen=True)
class Outcome:
    """What a run makes of the table, or would make; `seen` is the action id from which on it looked for newcomers."""

    seen: int
    users: int
    active: int
    changed: int
    lapsed: int
    groups: dict[str, int]
    scores: list[tuple[int, int, int]]  # recency, frequency, users
    moves: list[Move]


@contextlib.contextmanager
def gathered(scoring: Scoring, as_of: datetime) -> Iterator[Outcome]:
    """The outcome of judging everybody as of a moment (UTC), while the rows that differ stand in rfm_difference.

    Call it inside a transaction.
    """
    with connection.cursor() as cursor:
        if sql.is_postgresql():
            cursor.execute(PLANNER)
        standing = _rows(cursor, sql.STANDING)
        seen = _seen(as_of, users=sum(users for *_, users, _ in standing))
        parameters = sql.parameters(scoring, as_of) | {"seen": seen}
        with in_order(cursor, READ_BY_KEY):
            query = sql.difference(list(scoring.rules), everybody=seen == 0, ranges=user_ranges.user_ranges())
            cursor.execute(query, parameters)
        if seen:
            cursor.execute(sql.NEWCOMERS, parameters)
        yield _outcome(scoring, seen, standing, _rows(cursor, sql.MOVES))
        cursor.execute(sql.DROP)


def write(run: RfmRun, scoring: Scoring, moment: datetime) -> None:
    """Write what is gathered: the changes of group and the rows, dated with the moment (UTC)."""
    values = {"run": run.pk, "moment": adapted(moment), "lapsed_group": scoring.lapsed_group}
    with connection.cursor() as cursor:
        cursor.execute(sql.CHANGES, values)
        try:
            with transaction.atomic():
                cursor.execute(sql.insert(), values)
        except IntegrityError:  # somebody new got a row meanwhile, by his risk profile
            cursor.execute(sql.upsert(), values)
        else:
            with in_order(cursor, MERGED):
                cursor.execute(sql.update(), values)


@contextlib.contextmanager
def in_order(cursor: Any, without: Sequence[str]) -> Iterator[None]:
    """Keep the planner from splitting ranges and from these ways; an error ends the transaction and the settings."""
    if not sql.is_postgresql():
        yield
        return
    ways = ", ".join(f"set_config('{name}', %(switch)s, true)" for name in without)
    cursor.execute(f"{ONE_A_RANGE}, {ways}", {"switch": "off"})
    yield
    cursor.execute(f"SELECT {ways}", {"switch": "on"})


def _rows(cursor: Any, query: str) -> list[Row]:
    cursor.execute(query)
    return list(cursor.fetchall())


def _seen(as_of: datetime, users: int) -> int:
    """The id up to which the users of all actions before the window are known to have a row; 0: read everything."""
    last = RfmRun.objects.done().first()
    if last is None or last.seen_action_id is None or last.as_of is None or last.users is None:
        return 0
    leapt = as_of - WINDOW > last.as_of  # actions between that run's end and this window were in neither
    lost_rows = users < last.users  # somebody emptied the table, or erased a user
    return 0 if leapt or lost_rows else last.seen_action_id


def _outcome(scoring: Scoring, seen: int, standing: list[Row], differing: list[Row]) -> Outcome:
    """From `standing` (Place, users, active) and `differing` (Place before, Place, users, further active, lapsed)."""
    places = Counter({Place(*row[:3]): row[3] for row in standing})
    moves: Counter[tuple[str, str]] = Counter()
    for row in differing:
        before, after, users = Place(*row[:3]), Place(*row[3:6]), row[6]
        places[after] += users
        places[before] -= users
        moves[before.group or scoring.lapsed_group, after.group] += users
    del places[NOWHERE]
    groups = _totals(places, lambda place: place.group)
    scores = _totals(places, lambda place: (place.recency, place.frequency))
    return Outcome(
        seen=seen,
        users=places.total(),
        active=sum(row[4] for row in standing) + sum(row[7] for row in differing),
        changed=sum(row[6] for row in differing),
        lapsed=sum(row[8] for row in differing),
        groups={name: groups[name] for name in scoring.groups},
        scores=[(*score, users) for score, users in sorted((+scores).items())],
        moves=[Move(before, group, users) for (before, group), users in sorted(moves.items()) if before != group],
    )


def _totals(places: Counter[Place], key: Callable[[Place], Any]) -> Counter[Any]:
    totals: Counter[Any] = Counter()
    for place, users in places.items():
        totals[key(place)] += users
    return totals
