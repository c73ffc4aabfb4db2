"""Forecast of exits: the outlook's leaves_on and falls_to of all users of a group, without further actions.

One statement finds the users whom a batch would put into the group now, and reads their actions once to score them at
each of the next daily batches.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime
from typing import NamedTuple

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from segments.forecasts.outlook import batches, foreseen_scoring
from segments.models import RfmPolicy, UserSegment
from segments.rfm.sql import TOTAL, Parameters, activity, parameters, score
from segments.rules.scoring import Rule

STATEMENT = """
WITH activity AS ({activity}
), members AS MATERIALIZED (
    SELECT user_id FROM activity WHERE {rank} = %(rank)s
), windows AS (
    SELECT user_id, {windows} FROM members JOIN user_actions USING (user_id)
    WHERE action_timestamp >= %(since)s GROUP BY user_id
), ranks AS (
    SELECT user_id, {ranks} FROM windows
)
SELECT {columns} FROM ranks WHERE {fallen}"""
# The same for one user at a time: a list page ends at its hundredth row, and the index by user is used.
FALLS = """EXISTS (SELECT 1 FROM (
    SELECT {ranks} FROM (
        SELECT {windows} FROM user_actions own
        WHERE own.user_id = user_segments.user_id AND action_timestamp >= %(since)s
    ) windows
) ranks WHERE {fallen})"""
WINDOW = f"""MAX(action_timestamp) FILTER (WHERE action_timestamp <= %(as_of{{n}})s) AS last_action_at{{n}},
    COUNT(*) FILTER (WHERE action_timestamp BETWEEN %(since{{n}})s AND %(as_of{{n}})s) AS frequency{{n}},
    {TOTAL} FILTER (WHERE action_timestamp BETWEEN %(since{{n}})s AND %(as_of{{n}})s) AS total{{n}}"""

NAME = re.compile(r"%\((\w+)\)s")


class Exit(NamedTuple):
    """A user who leaves a group: the UTC date of the first 02:00 batch that gives a lower group, and that group."""

    user_id: int
    rfm_group: str
    leaves_on: date
    falls_to: str


class UnknownGroup(ValueError):
    """No rule of the active policy has this name."""


class Forecast:
    """The users in a group at `now` (UTC) who leave it within `days` daily batches (1 to 32).

    Equal to each user's outlook: by the same policy and cut points. Raises UnknownGroup.
    """

    def __init__(self, *, group: str, days: int, now: datetime) -> None:
        self._scoring = foreseen_scoring(RfmPolicy.objects.active())
        self._groups = self._scoring.groups
        if group not in self._groups:
            raise UnknownGroup(f'There is no group "{group}", only {", ".join(self._groups)}.')
        self._group = group
        self._batches = dict(enumerate(batches(now)[:days], 1))
        self._parameters: Parameters = {"rank": self._groups.index(group)} | parameters(self._scoring, now)
        for number, as_of in self._batches.items():
            self._parameters |= {f"{k}_{number}": v for k, v in parameters(self._scoring, as_of).items()}

    def exits(self) -> Iterator[Exit]:
        """By date, then by user; rows are streamed."""
        numbers = {f"rank_{n} > %(rank)s": n for n in self._batches}
        first = _case({fallen: str(n) for fallen, n in numbers.items()})
        lower = _case({fallen: f"rank_{n}" for fallen, n in numbers.items()})
        with closing(connection.chunked_cursor()) as cursor:
            cursor.execute(f"{self._statement(f'user_id, {first}, {lower}')} ORDER BY 2, 1", self._parameters)
            for user_id, number, rank in cursor:
                yield Exit(user_id, self._group, self._batches[number].date(), self._groups[rank])

    def segments(self) -> QuerySet[UserSegment]:
        """The segments of users whom the last run put into the group and a coming batch will put lower; lazy."""
        text = FALLS.format(**self._parts())
        values = [self._parameters[name] for name in NAME.findall(text)]
        falls = RawSQL(NAME.sub("%s", text), values, BooleanField())  # noqa: S611 - our own text, values are parameters
        return UserSegment.objects.filter(falls, rfm_group=self._group)

    def _statement(self, columns: str) -> str:
        rank = _rank(self._scoring.rules)
        return STATEMENT.format(activity=activity(), rank=rank, columns=columns, **self._parts())

    def _parts(self) -> dict[str, str]:
        rules = self._scoring.rules
        return {
            "windows": ", ".join(WINDOW.format(n=f"_{n}") for n in self._batches),
            "ranks": ", ".join(f"{_rank(rules, f'_{n}')} AS rank_{n}" for n in self._batches),
            "fallen": " OR ".join(f"rank_{n} > %(rank)s" for n in self._batches),
        }


def _rank(rules: Sequence[Rule], batch: str = "") -> str:
    """The SQL of the group's index in one batch, 0 for the best; an empty window gives the last group."""
    scores = [
        score(f"last_action_at{batch} > ", "recency", batch),
        score(f"frequency{batch} >= ", "frequency", batch),
        score(f"total{batch} >= ", "monetary", batch),
    ]
    matches = {
        " AND ".join(f"{got} >= {least:d}" for got, least in zip(scores, rule.least, strict=True)): str(index)
        for index, rule in enumerate(rules[:-1])
    }
    return _case({f"frequency{batch} = 0": str(len(rules) - 1)} | matches, otherwise=str(len(rules) - 1))


def _case(whens: dict[str, str], otherwise: str = "NULL") -> str:
    return f"CASE {' '.join(f'WHEN {when} THEN {then}' for when, then in whens.items())} ELSE {otherwise} END"
