"""The outlook of one user: the next lower group without further actions, and the least actions that change it.

With a window of 30 days the forecast is deterministic: each action leaves the window at a known instant, so the group
at any later instant is a function of the actions stored now.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate, product
from math import ceil
from typing import NamedTuple

from actions.models import UserAction
from segments.models import RfmPolicy, RfmRun
from segments.rules.scoring import DAY, WINDOW, CutPoints, Scoring, recency_days

STAY_PERIOD = timedelta(days=7)
BATCH_TIME = time(2, tzinfo=UTC)
# By the 32nd batch every action is outside the window, even one dated 5 minutes ahead.
BATCHES = WINDOW // DAY + 2
ZERO = Decimal("0.00")
MAX_VALUE = Decimal("9999999999.99")  # the value of one action
UNREACHABLE = CutPoints([None] * 4, [None] * 4, [None] * 4)


class Effort(NamedTuple):
    """A number of further actions, all done now, and their total value."""

    actions: int
    value: Decimal


class WindowTotals(NamedTuple):
    """The actions in the window at an instant; `last` (UTC) is None when the window is empty."""

    last: datetime | None
    frequency: int
    monetary: Decimal

    def rank(self, scoring: Scoring, as_of: datetime) -> int:
        """The index of the group that a batch as of `as_of` gives, 0 for the best."""
        days = None if self.last is None else recency_days(self.last, as_of)
        return scoring.groups.index(scoring.classify(days, self.frequency, self.monetary)[1])

    def after(self, effort: Effort, now: datetime) -> "WindowTotals":
        """The same with further actions done now."""
        if not effort.actions:
            return self
        last = max(self.last or now, now)
        return WindowTotals(last, self.frequency + effort.actions, self.monetary + effort.value)


class Outlook(NamedTuple):
    """The group now, when and to which group the user falls, and the least actions to stay or to rise."""

    rfm_group: str
    leaves_on: date | None
    falls_to: str | None
    to_stay: Effort | None
    to_rise: Effort | None
    cut_points: str = "exact"  # or frozen: those of the last run; the next run computes new ones


class ActionWindow:
    """One user's actions, (UTC instant, value) in any order, with the window of a batch at any instant."""

    def __init__(self, actions: Iterable[tuple[datetime, Decimal]]) -> None:
        ordered = sorted(actions)
        self._instants = [at for at, _ in ordered]
        self._sums = list(accumulate((value for _, value in ordered), initial=ZERO))

    def at(self, as_of: datetime) -> WindowTotals:
        """The actions in `as_of - 30 days <= instant <= as_of`."""
        first = bisect_left(self._instants, as_of - WINDOW)
        end = bisect_right(self._instants, as_of)
        last = self._instants[end - 1] if end > first else None
        return WindowTotals(last, end - first, self._sums[end] - self._sums[first])


def outlook_of(*, user_id: int, now: datetime) -> Outlook:
    """The outlook of a user at `now` (UTC), see foresee. A user without actions counts as lapsed."""
    policy = RfmPolicy.objects.active()
    window = UserAction.objects.filter(user_id=user_id, action_timestamp__gte=now - WINDOW).order_by()
    outlook = foresee(window.values_list("action_timestamp", "value"), scoring=foreseen_scoring(policy), now=now)
    return outlook if policy.kind == RfmPolicy.Kind.FIXED else outlook._replace(cut_points="frozen")


def foreseen_scoring(policy: RfmPolicy) -> Scoring:
    """The scoring of the coming batches. A quantile policy uses the cut points of its last run, else of any last run.

    Before the first run no cut point is reached.
    """
    if policy.kind == RfmPolicy.Kind.FIXED:
        return policy.scoring()
    runs = RfmRun.objects.done()
    run = runs.filter(policy=policy).first() or runs.first()
    return policy.scoring(CutPoints.from_json(run.cuts) if run else UNREACHABLE)


def foresee(actions: Iterable[tuple[datetime, Decimal]], *, scoring: Scoring, now: datetime) -> Outlook:
    """The outlook at `now` (UTC) from a user's actions since now - 30 days, (UTC instant, value) each.

    `rfm_group` is what a batch as of now would give, not what the last batch gave. `leaves_on` is the UTC date of the
    first 02:00 batch after now that would give a lower group. `to_stay` is computed as of now + 7 days (not by the
    02:00 batch before or after it), `to_rise` as of now; the required group or a better one is enough. The fewest
    actions count first, then the least value; None when no action is needed or no action helps.
    """
    window = ActionWindow(actions)
    rank = window.at(now).rank(scoring, now)
    leaves_on, lower = _exit(window, rank, scoring, now)
    return Outlook(
        rfm_group=scoring.groups[rank],
        leaves_on=leaves_on,
        falls_to=None if lower is None else scoring.groups[lower],
        to_stay=_least(window.at(now + STAY_PERIOD), rank, scoring, now, now + STAY_PERIOD),
        to_rise=_least(window.at(now), rank - 1, scoring, now, now),
    )


def batches(now: datetime) -> list[datetime]:
    """The daily batches (02:00 UTC) after now, up to the last one at which an action can leave the window."""
    today = datetime.combine(now.astimezone(UTC), BATCH_TIME)
    first = today if today > now else today + DAY
    return [first + n * DAY for n in range(BATCHES)]


def _exit(window: ActionWindow, rank: int, scoring: Scoring, now: datetime) -> tuple[date | None, int | None]:
    for as_of in batches(now):
        lower = window.at(as_of).rank(scoring, as_of)
        if lower > rank:
            return as_of.date(), lower
    return None, None


def _least(totals: WindowTotals, rank: int, scoring: Scoring, now: datetime, as_of: datetime) -> Effort | None:
    """The least effort at `now` that gives `rank` or better as of `as_of`."""
    efforts = sorted(_efforts(totals, scoring.cuts))
    enough = (effort for effort in efforts if totals.after(effort, now).rank(scoring, as_of) <= rank)
    least = next(enough, None)
    return least if least and least.actions else None


def _efforts(totals: WindowTotals, cuts: CutPoints) -> Iterator[Effort]:
    """The candidates. More never lowers a score, so the least effort just reaches a cut point or is one action."""
    counts = {0, 1} | {cut - totals.frequency for cut in cuts.frequency if cut and cut > totals.frequency}
    values = {ZERO} | {cut - totals.monetary for cut in cuts.monetary if cut is not None and cut > totals.monetary}
    for count, value in product(counts, values):
        yield Effort(max(count, ceil(value / MAX_VALUE)), value)
