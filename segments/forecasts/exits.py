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

from ccweb.api.shop_clock import coming_batches, shop_date
from segments.forecasts.outlook import foreseen_scoring
from segments.models import RfmPolicy, UserSegment
from segments.rfm.counted import ALWAYS, Counted, Parameters, both, money
from segments.rfm.scored import conditions, score
from segments.rfm.sql import EVERYTHING, Reading, activity, parameters
from segments.rules.scoring import CutPoints, Rule

MOST_BATCHES = 32  # each is a score of every member
STATEMENT = """
WITH activity AS ({activity}
), scored AS (
    SELECT user_id, frequency, last_action_at, actions AS lifetime_actions, {lifetime_value} AS lifetime_value, {scores}
    FROM activity
), members AS MATERIALIZED (
    SELECT user_id FROM scored WHERE {rank} = %(rank)s
), windows AS (
    SELECT user_id, {windows} FROM members JOIN user_actions USING (user_id) WHERE {read} GROUP BY user_id
), scored_windows AS (
    SELECT *, {coming_scores} FROM windows
), ranks AS (
    SELECT user_id, {ranks} FROM scored_windows
)
SELECT {columns} FROM ranks WHERE {fallen}"""
# The same for one user at a time: a list page ends at its hundredth row, and the index by user is used.
FALLS = """EXISTS (SELECT 1 FROM (
    SELECT {ranks} FROM (
        SELECT *, {coming_scores} FROM (
            SELECT {windows} FROM user_actions own WHERE own.user_id = user_segments.user_id AND {read}
        ) windows
    ) scored_windows
) ranks WHERE {fallen})"""

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
        self._counted = Counted(self._scoring.counting)
        self._batches = dict(enumerate(coming_batches(now, days), 1))
        self._parameters: Parameters = {"rank": self._groups.index(group)} | parameters(self._scoring, now)
        for number, as_of in self._batches.items():
            self._parameters |= {f"{k}_{number}": v for k, v in parameters(self._scoring, as_of).items()}
        # What a window needs, or all history.
        self._reading = EVERYTHING if self._scoring.asks_history else Reading(goes_on=True, older=False)

    def exits(self) -> Iterator[Exit]:
        """By date, then by user; rows are streamed."""
        numbers = {f"rank_{n} > %(rank)s": n for n in self._batches}
        first = _case({fallen: str(n) for fallen, n in numbers.items()})
        lower = _case({fallen: f"rank_{n}" for fallen, n in numbers.items()})
        with closing(connection.chunked_cursor()) as cursor:
            cursor.execute(f"{self._statement(f'user_id, {first}, {lower}')} ORDER BY 2, 1", self._parameters)
            for user_id, number, rank in cursor:
                yield Exit(user_id, self._group, shop_date(self._batches[number]), self._groups[rank])

    def segments(self) -> QuerySet[UserSegment]:
        """The segments of users whom the last run put into the group and a coming batch will put lower; lazy."""
        text = FALLS.format(**self._parts())
        values = [self._parameters[name] for name in NAME.findall(text)]
        falls = RawSQL(NAME.sub("%s", text), values, BooleanField())  # noqa: S611 - our own text, values are parameters
        return UserSegment.objects.filter(falls, rfm_group=self._group)

    def _statement(self, columns: str) -> str:
        return STATEMENT.format(
            activity=activity(self._counted, self._reading),
            lifetime_value=money("all_total"),
            scores=_scores(self._scoring.cuts),
            rank=_rank(self._scoring.rules),
            columns=columns,
            **self._parts(),
        )

    def _parts(self) -> dict[str, str]:
        rules, cuts = self._scoring.rules, self._scoring.cuts
        begin = "action_timestamp >= %(from)s" if self._reading.goes_on else ALWAYS
        return {
            "read": both(begin, self._counted.where),
            "windows": ", ".join(self._window(f"_{n}") for n in self._batches),
            "coming_scores": ", ".join(_scores(cuts, f"_{n}") for n in self._batches),
            "ranks": ", ".join(f"{_rank(rules, f'_{n}')} AS rank_{n}" for n in self._batches),
            "fallen": " OR ".join(f"rank_{n} > %(rank)s" for n in self._batches),
        }

    def _window(self, n: str) -> str:
        """The figures of one user in the batch with the suffix n."""
        counted, until = self._counted, f"action_timestamp <= %(as_of{n})s"
        inside = f"action_timestamp >= %(since{n})s AND {until}"
        columns = {
            "last_action_at": counted.last(until),
            "frequency": counted.actions(inside),
            "total": counted.total(inside),
        }
        if self._scoring.asks_history:
            columns |= {"lifetime_actions": counted.actions(until), "lifetime_value": money(counted.total(until))}
        return ", ".join(f"{figure} AS {column}{n}" for column, figure in columns.items())


def _scores(cuts: CutPoints, batch: str = "") -> str:
    """The SQL of the three scores in one batch."""
    columns = {
        "recency": score(f"last_action_at{batch} > ", "recency", len(cuts.recency), batch),
        "frequency": score(f"frequency{batch} >= ", "frequency", len(cuts.frequency), batch),
        "monetary": score(f"total{batch} >= ", "monetary", len(cuts.monetary), batch),
    }
    return ", ".join(f"{text} AS {dimension}_score{batch}" for dimension, text in columns.items())


def _rank(rules: Sequence[Rule], batch: str = "") -> str:
    """The SQL of the group's index in one batch, 0 for the best."""
    matches = {conditions(rule, number, batch): str(number) for number, rule in enumerate(rules[:-1])}
    return _case(matches, otherwise=str(len(rules) - 1))


def _case(whens: dict[str, str], otherwise: str = "NULL") -> str:
    return f"CASE {' '.join(f'WHEN {when} THEN {then}' for when, then in whens.items())} ELSE {otherwise} END"
