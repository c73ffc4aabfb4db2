"""The RFM batch inside one transaction: gather the rows that differ, count them, write them."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import IntegrityError, connection, transaction

from segments.models import RfmRun
from segments.rfm import sql, user_ranges
from segments.rfm.counted import adapted, is_postgresql
from segments.rfm.sql import EVERYTHING, Reading
from segments.rules.scoring import Scoring

Row = tuple[Any, ...]
# JIT compilation costs more than it saves; with the default work_mem the rows of a large shop are sorted on disk.
PLANNER = """SELECT set_config('jit', 'off', true),
    set_config('work_mem', GREATEST(pg_size_bytes(current_setting('work_mem')) / 1024, 65536)::text, true)"""  # kB
# PostgreSQL may use several processes (max_parallel_workers_per_gather; each takes a core from the web workers), but
# one per range: one process reads the index in the order of the GROUP BY, while several have to merge their results,
# which took 1.7 times as long on two idle cores (3M actions).
ONE_PROCESS_PER_RANGE = """SELECT set_config('min_parallel_index_scan_size', '1TB', true),
    set_config('min_parallel_table_scan_size', '1TB', true)"""
# The window and the segments are both read in the order of user_id: a merge join takes 0.83 of the time of a hash join
# (3M actions). With this work_mem the planner would also hash the aggregate, which takes 1.6 times as long.
MERGE_JOIN_ONLY = ("enable_hashjoin", "enable_hashagg")
# Read segments by primary key: until autovacuum has analysed those of a first run, each range would scan all of them.
READ_BY_KEY = (*MERGE_JOIN_ONLY, "enable_seqscan", "enable_bitmapscan")


# Beyond this share of late users, reading everything is faster than reading each one's history.
LATE_SHARE = 0.05


DIFFERENCE_COLUMNS = ("user_id", "from_group", *sql.CLASSIFIED)


class ScoredGroup(NamedTuple):
    """A group with recency and frequency scores; all None for users without a row."""

    group: str | None
    recency: int | None
    frequency: int | None


NO_ROW = ScoredGroup(None, None, None)


@dataclass(frozen=True)
class Move:
    """How many users move from one group to another. Users without a row count as lapsed."""

    from_group: str
    to_group: str
    users: int


@dataclass(frozen=True)
class Outcome:
    """The result of a run or a preview. `seen` is the action id after which it looked for users first seen."""

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
    """Score all users as of a moment (UTC) and gather the rows that differ in the temporary table rfm_difference.

    Yields the outcome; the table exists until the block ends. Call it inside a transaction.
    """
    with connection.cursor() as cursor:
        if is_postgresql():
            cursor.execute(PLANNER)
        current = _rows(cursor, sql.CURRENT_COUNTS)
        last = _base(scoring, as_of, users=sum(users for *_, users, _ in current))
        seen = _gather(cursor, scoring, as_of, last)
        yield _outcome(scoring, seen, current, _rows(cursor, sql.MOVES))
        cursor.execute(sql.DROP)


def _gather(cursor: Any, scoring: Scoring, as_of: datetime, last: RfmRun | None) -> int:
    """Fill rfm_difference, from the rows of the last run if possible; returns the action id that it had seen, or 0."""
    parameters, reading, seen = sql.parameters(scoring, as_of), EVERYTHING, 0
    if last is not None and last.as_of is not None and last.seen_action_id is not None:
        parameters |= {"from": adapted(last.as_of - scoring.counting.window), "seen": last.seen_action_id}
        cursor.execute(sql.LATE, parameters)
        late, users = _rows(cursor, sql.COUNT_LATE)[0][0], last.users or 0
        if late <= LATE_SHARE * users and (not late or is_postgresql()):
            reading, seen = Reading(goes_on=True, older=as_of > last.as_of), last.seen_action_id
    with in_order(cursor, READ_BY_KEY):
        cursor.execute(sql.difference(scoring, reading, user_ranges.user_ranges()), parameters)
        if reading.goes_on:
            cursor.execute(sql.WITHOUT_LATE)
            cursor.execute(sql.again(scoring), parameters)
    cursor.execute(sql.DROP_LATE)
    return seen


def differing_rows() -> Iterator[Row]:
    """The gathered rows, by user, as DIFFERENCE_COLUMNS; to be read while the table rfm_difference exists."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(DIFFERENCE_COLUMNS)} FROM rfm_difference ORDER BY user_id")
        while rows := cursor.fetchmany(5000):
            yield from rows


def write(run: RfmRun, scoring: Scoring, moment: datetime) -> None:
    """Write the gathered changes of group and rows, with the moment (UTC) as their time."""
    values = {"run": run.pk, "moment": adapted(moment), "lapsed_group": scoring.lapsed_group}
    with connection.cursor() as cursor:
        cursor.execute(sql.CHANGES, values)
        try:
            with transaction.atomic():
                cursor.execute(sql.insert(), values)
        except IntegrityError:  # another transaction set a new user's risk profile, which created the row
            cursor.execute(sql.upsert(), values)
        else:
            with in_order(cursor, MERGE_JOIN_ONLY):
                cursor.execute(sql.update(), values)
        cursor.execute(sql.REMOVE)


@contextlib.contextmanager
def in_order(cursor: Any, disabled: Sequence[str]) -> Iterator[None]:
    """Disable these plan types and parallel scans within a range; on an error the rollback restores the settings."""
    if not is_postgresql():
        yield
        return
    switches = ", ".join(f"set_config('{name}', %(switch)s, true)" for name in disabled)
    cursor.execute(f"{ONE_PROCESS_PER_RANGE}, {switches}", {"switch": "off"})
    yield
    cursor.execute(f"SELECT {switches}", {"switch": "on"})


def _rows(cursor: Any, query: str) -> list[Row]:
    cursor.execute(query)
    return list(cursor.fetchall())


def _base(scoring: Scoring, as_of: datetime, users: int) -> RfmRun | None:
    """The last run, if this one can go on from its rows instead of reading all actions."""
    last = RfmRun.objects.done().select_related("policy").first()
    if last is None or last.seen_action_id is None or last.as_of is None or last.policy is None:
        return None
    lost_rows = users < (last.users or 0)  # the table was emptied, or a user erased
    same = last.policy.counting == scoring.counting and not scoring.counting.orders
    return last if same and last.as_of <= as_of and not lost_rows else None


def _outcome(scoring: Scoring, seen: int, current: list[Row], differing: list[Row]) -> Outcome:
    """From `current` (ScoredGroup, users, active) and `differing` (before, removed, after, users, further active, ..).

    The last number of `differing` is how many lapsed. Users whose row is removed count as lapsed.
    """
    counts = Counter({ScoredGroup(*row[:3]): row[3] for row in current})
    moves: Counter[tuple[str, str]] = Counter()
    for row in differing:
        before, removed, after, users = ScoredGroup(*row[:3]), row[3], ScoredGroup(*row[4:7]), row[7]
        counts[NO_ROW if removed else after] += users
        counts[before] -= users
        moves[before.group or scoring.lapsed_group, str(after.group)] += users
    del counts[NO_ROW]
    groups = _totals(counts, lambda key: key.group)
    scores = _totals(counts, lambda key: (key.recency, key.frequency))
    return Outcome(
        seen=seen,
        users=counts.total(),
        active=sum(row[4] for row in current) + sum(row[8] for row in differing),
        changed=sum(row[7] for row in differing),
        lapsed=sum(row[9] for row in differing),
        groups={name: groups[name] for name in scoring.groups},
        scores=[(*score, users) for score, users in sorted((+scores).items())],
        moves=[Move(before, group, users) for (before, group), users in sorted(moves.items()) if before != group],
    )


def _totals(counts: Counter[ScoredGroup], by: Callable[[ScoredGroup], Any]) -> Counter[Any]:
    totals: Counter[Any] = Counter()
    for key, users in counts.items():
        totals[by(key)] += users
    return totals
