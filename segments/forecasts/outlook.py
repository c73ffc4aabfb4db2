"""The outlook of one user: the next lower group without further actions, and the least actions that change it.

The forecast is deterministic: each action leaves the window at a known instant, so the group at any later instant is a
function of the actions stored now.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate, product
from math import ceil
from typing import NamedTuple

from ccweb.api.shop_clock import coming_batches, shop_date
from segments.forecasts.window_parts import Part, window_parts
from segments.models import RfmPolicy, RfmRun
from segments.rules.scoring import CutPoints, Lifetime, Scoring, recency_days

STAY_PERIOD = timedelta(days=7)
ZERO = Decimal("0.00")
MAX_VALUE = Decimal("9999999999.99")  # the value of one action
MICROSECOND = timedelta(microseconds=1)


class Effort(NamedTuple):
    """A number of further actions, all done now, and their total value."""

    actions: int
    value: Decimal


class WindowTotals(NamedTuple):
    """What counts at an instant: the window's actions and value, and the whole history's, if the rules ask for it.

    `last` (UTC) is None for a user without any activity that was read.
    """

    last: datetime | None
    frequency: int
    monetary: Decimal
    lifetime_actions: int
    lifetime_value: Decimal

    def rank(self, scoring: Scoring, as_of: datetime) -> int:
        """The index of the group that a batch as of `as_of` gives, 0 for the best."""
        gone = None if self.last is None else recency_days(self.last, as_of)
        lifetime = Lifetime(self.lifetime_actions, self.lifetime_value, gone)
        days = gone if self.frequency else None
        return scoring.groups.index(scoring.classify(days, self.frequency, self.monetary, lifetime)[1])

    def after(self, effort: Effort, now: datetime) -> "WindowTotals":
        """The same with further actions done now."""
        if not effort.actions:
            return self
        last = max(self.last or now, now)
        more, value = effort
        return WindowTotals(
            last,
            self.frequency + more,
            self.monetary + value,
            self.lifetime_actions + more,
            self.lifetime_value + value,
        )


class Outlook(NamedTuple):
    """The group now, when and to which group the user falls, and the least actions to stay or to rise."""

    rfm_group: str
    leaves_on: date | None
    falls_to: str | None
    to_stay: Effort | None
    to_rise: Effort | None
    cut_points: str = "exact"  # or frozen: those of the last run; the next run computes new ones


class ActionWindow:
    """One user's actions in parts that enter and leave every window as a whole, with the window of any batch."""

    def __init__(self, parts: Iterable[Part], window: timedelta) -> None:
        ordered = sorted(parts)
        self._begins, self._window = [part.begin for part in ordered], window
        self._counts = list(accumulate((part.frequency for part in ordered), initial=0))
        self._sums = list(accumulate((part.total for part in ordered), initial=ZERO))
        self._last: list[datetime | None] = [None]
        for part in ordered:
            self._last.append(part.last or self._last[-1])

    def at(self, as_of: datetime) -> WindowTotals:
        """The totals of a batch as of this instant: `as_of - window <= action <= as_of`."""
        first = bisect_left(self._begins, as_of - self._window)
        end = bisect_left(self._begins, as_of + MICROSECOND)
        count, total = self._counts[end] - self._counts[first], self._sums[end] - self._sums[first]
        return WindowTotals(self._last[end], count, total, self._counts[end], self._sums[end])


def outlook_of(*, user_id: int, now: datetime) -> Outlook:
    """The outlook of a user at `now` (UTC), see foresee. A user without actions counts as lapsed."""
    return user_outlook(user_id=user_id, now=now, until=now)[0]


def user_outlook(*, user_id: int, now: datetime, until: datetime) -> tuple[Outlook, Effort, bool]:
    """The outlook at `now` (UTC), and without further actions until a later instant: what leaves the window, and

    whether the user is in the same group or a better one then. One query.
    """
    policy = RfmPolicy.objects.active()
    scoring, window = foreseen_scoring(policy), policy.counting.window
    instants = [now, until, now + STAY_PERIOD, *_batches(scoring, now)]
    parts = window_parts(user_id, scoring.counting, instants, whole_history=scoring.asks_history)
    outlook = foresee(parts, scoring=scoring, now=now)
    if policy.kind != RfmPolicy.Kind.FIXED:
        outlook = outlook._replace(cut_points="frozen")
    left = [part for part in parts if now - window <= part.begin < until - window]
    leaving = Effort(sum(part.frequency for part in left), sum((part.total for part in left), ZERO))
    later = ActionWindow(parts, window).at(until).rank(scoring, until)
    return outlook, leaving, later <= scoring.groups.index(outlook.rfm_group)


def foreseen_scoring(policy: RfmPolicy) -> Scoring:
    """The scoring of the coming batches. A quantile policy uses the cut points of its last run, else of any last run.

    Before the first run no cut point is reached.
    """
    if policy.kind == RfmPolicy.Kind.FIXED:
        return policy.scoring()
    runs = RfmRun.objects.done()
    run = runs.filter(policy=policy).first() or runs.first()
    unreachable: list[None] = [None] * (policy.bins - 1)
    return policy.scoring(CutPoints.from_json(run.cuts) if run else CutPoints(unreachable, unreachable, unreachable))


def foresee(parts: Iterable[Part], *, scoring: Scoring, now: datetime) -> Outlook:
    """The outlook at `now` (UTC) from a user's actions since the window of now began.

    `rfm_group` is what a batch as of now would give, not what the last batch gave. `leaves_on` is the shop's date of
    the first 02:00 batch after now that would give a lower group. `to_stay` is computed as of now + 7 days (not by the
    02:00 batch before or after it), `to_rise` as of now; the required group or a better one is enough. The fewest
    actions count first, then the least value; None when no action is needed or no action helps.
    """
    window = ActionWindow(parts, scoring.counting.window)
    rank = window.at(now).rank(scoring, now)
    leaves_on, lower = _exit(window, rank, scoring, now)
    return Outlook(
        rfm_group=scoring.groups[rank],
        leaves_on=leaves_on,
        falls_to=None if lower is None else scoring.groups[lower],
        to_stay=_least(window.at(now + STAY_PERIOD), rank, scoring, now, now + STAY_PERIOD),
        to_rise=_least(window.at(now), rank - 1, scoring, now, now),
    )


def _batches(scoring: Scoring, now: datetime) -> Sequence[datetime]:
    """The daily batches after now, up to the last one by which a user may fall."""
    gone = [rule.gone_days or 0 for rule in scoring.rules]
    # Two more: for an action dated 5 minutes ahead, and for the day that has begun.
    return coming_batches(now, max(scoring.counting.window_days, *gone) + 2)


def _exit(window: ActionWindow, rank: int, scoring: Scoring, now: datetime) -> tuple[date | None, int | None]:
    for as_of in _batches(scoring, now):
        lower = window.at(as_of).rank(scoring, as_of)
        if lower > rank:
            return shop_date(as_of), lower
    return None, None


def _least(totals: WindowTotals, rank: int, scoring: Scoring, now: datetime, as_of: datetime) -> Effort | None:
    """The least effort at `now` that gives `rank` or better as of `as_of`."""
    efforts = sorted(_efforts(totals, scoring))
    enough = (effort for effort in efforts if totals.after(effort, now).rank(scoring, as_of) <= rank)
    least = next(enough, None)
    return least if least and least.actions else None


def _efforts(totals: WindowTotals, scoring: Scoring) -> Iterator[Effort]:
    """The candidates. More never lowers a score, so the least effort just reaches a cut point or is one action."""
    cuts = scoring.cuts
    counts = {0, 1} | {cut - totals.frequency for cut in cuts.frequency if cut and cut > totals.frequency}
    values = {ZERO} | {cut - totals.monetary for cut in cuts.monetary if cut is not None and cut > totals.monetary}
    counts |= {r.lifetime_actions - totals.lifetime_actions for r in scoring.rules if r.lifetime_actions}
    values |= {r.lifetime_value - totals.lifetime_value for r in scoring.rules if r.lifetime_value is not None}
    for count, value in product((c for c in counts if c >= 0), (v for v in values if v >= 0)):
        yield Effort(max(count, ceil(value / MAX_VALUE)), value)
