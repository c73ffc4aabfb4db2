"""The batch inside one transaction: gather what differs, count it, write it."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from segments import statement
from segments.models import RfmRun
from segments.scoring import WINDOW, Scoring
from segments.statement import adapted

Row = tuple[Any, ...]
# One process reads the index in the order in which it groups; two must merge what they found, which took 1.7 times as
# long on two idle cores (3M actions) and takes a core from the web. Compiling costs more than it saves.
PLANNER = "SELECT set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)"


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
    moves: list[Move]


@contextlib.contextmanager
def gathered(scoring: Scoring, as_of: datetime) -> Iterator[Outcome]:
    """The outcome of judging everybody as of a moment (UTC), while the rows that differ stand in rfm_difference.

    Call it inside a transaction.
    """
    with connection.cursor() as cursor:
        if statement.is_postgresql():
            cursor.execute(PLANNER)
        standing = _rows(cursor, statement.STANDING)
        seen = _seen(as_of, users=sum(users for _, users, _ in standing))
        parameters = statement.parameters(scoring, as_of) | {"seen": seen}
        cursor.execute(statement.difference(list(scoring.rules), everybody=seen == 0), parameters)
        if seen:
            cursor.execute(statement.NEWCOMERS, parameters)
        yield _outcome(scoring, seen, standing, _rows(cursor, statement.MOVES))
        cursor.execute(statement.DROP)


def write(run: RfmRun, scoring: Scoring, moment: datetime) -> None:
    """Write what is gathered: the changes of group and the rows, dated with the moment (UTC)."""
    values = {"run": run.pk, "moment": adapted(moment), "lapsed_group": scoring.lapsed_group}
    with connection.cursor() as cursor:
        cursor.execute(statement.CHANGES, values)
        cursor.execute(statement.write(), values)


def _rows(cursor: Any, sql: str) -> list[Row]:
    cursor.execute(sql)
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
    groups = Counter({group: users for group, users, _ in standing})
    moves: Counter[tuple[str, str]] = Counter()
    for before, group, users, _, _ in differing:
        groups[group] += users
        groups[before] -= users
        moves[before or scoring.lapsed_group, group] += users
    newcomers = -groups.pop(None, 0)
    return Outcome(
        seen=seen,
        users=sum(users for _, users, _ in standing) + newcomers,
        active=sum(active for _, _, active in standing) + sum(more for *_, more, _ in differing),
        changed=sum(users for _, _, users, _, _ in differing),
        lapsed=sum(lapsed for *_, lapsed in differing),
        groups={name: groups[name] for name in scoring.groups},
        moves=[Move(before, group, users) for (before, group), users in sorted(moves.items()) if before != group],
    )
