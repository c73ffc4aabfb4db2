"""What becomes of one user if nothing more happens, and the least that would change it.

With a window of 30 days decay is deterministic: every action leaves at a known instant, so the group at any
later instant is a function of the actions stored now.
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

STAY = timedelta(days=7)
BATCH_TIME = time(2, tzinfo=UTC)
# By the 32nd batch from now on every action is outside the window, one dated 5 minutes ahead included.
BATCHES = WINDOW // DAY + 2
ZERO = Decimal("0.00")
MOST = Decimal("9999999999.99")  # the value of one action
NEVER = CutPoints([None] * 4, [None] * 4, [None] * 4)


class Effort(NamedTuple):
    """Further actions, all done now, and their total value."""

    actions: int
    value: Decimal


class WindowTotals(NamedTuple):
    """What the window holds at an instant; `last` (UTC) is None when it is empty."""

    last: datetime | None
    frequency: int
    monetary: Decimal

    def rank(self, scoring: Scoring, as_of: datetime) -> int:
        """Place of the group that a batch as_of gives, 0 for the best."""
        days = None if self.last is None else recency_days(self.last, as_of)
        return scoring.groups.index(scoring.classify(days, self.frequency, self.monetary)[1])

    def after(self, effort: Effort, now: datetime) -> "WindowTotals":
        """The same with further actions done now."""
        if not effort.actions:
            return self
        last = max(self.last or now, now)
        return WindowTotals(last, self.frequency + effort.actions, self.monetary + effort.value)


class Outlook(NamedTuple):
    """Where a user stands now, when and how deep he falls, what keeps him there and what lifts him."""

    rfm_group: str
    leaves_on: date | None
    falls_to: str | None
    to_stay: Effort | None
    to_rise: Effort | None
    cut_points: str = "exact"  # or frozen: those of the last run, the next one computes its own


class ActionWindow:
    """One user's actions, (UTC instant, value) in any order, as a batch sees them at any instant."""

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
    """The outlook of any user at `now` (UTC), see foresee; one who never acted stands where a lapsed one does."""
    policy = RfmPolicy.objects.active()
    window = UserAction.objects.filter(user_id=user_id, action_timestamp__gte=now - WINDOW).order_by()
    outlook = foresee(window.values_list("action_timestamp", "value"), scoring=foreseen_scoring(policy), now=now)
    return outlook if policy.kind == RfmPolicy.Kind.FIXED else outlook._replace(cut_points="frozen")


def foreseen_scoring(policy: RfmPolicy) -> Scoring:
    """How the coming batches judge; a quantile policy by the cut points of its last run, or of any if it had none.

    Before the very first run no cut point is reached.
    """
    if policy.kind == RfmPolicy.Kind.FIXED:
        return policy.scoring()
    runs = RfmRun.objects.done()
    run = runs.filter(policy=policy).first() or runs.first()
    return policy.scoring(CutPoints.from_json(run.cuts) if run else NEVER)


def foresee(actions: Iterable[tuple[datetime, Decimal]], *, scoring: Scoring, now: datetime) -> Outlook:
    """The outlook at `now` (UTC) from a user's actions since now - 30 days, (UTC instant, value) each.

    `rfm_group` is what a batch as_of now would give, whatever the last one gave. `leaves_on` is the UTC date of the
    first 02:00 batch after now that would give a lower group. `to_stay` is judged as of the instant now + 7 days (not
    by the 02:00 batch before or after it), `to_rise` as of now; the wanted group or a better one is enough. Fewest
    actions come first, then the least value; None when nothing is needed or nothing helps.
    """
    window = ActionWindow(actions)
    rank = window.at(now).rank(scoring, now)
    leaves_on, lower = _exit(window, rank, scoring, now)
    return Outlook(
        rfm_group=scoring.groups[rank],
        leaves_on=leaves_on,
        falls_to=None if lower is None else scoring.groups[lower],
        to_stay=_least(window.at(now + STAY), rank, scoring, now, now + STAY),
        to_rise=_least(window.at(now), rank - 1, scoring, now, now),
    )


def batches(now: datetime) -> list[datetime]:
    """The daily batches (02:00 UTC) after now, until the last one that can still take something away."""
    today = datetime.combine(now.astimezone(UTC), BATCH_TIME)
    first = today if today > now else today + DAY
    return [first + n * DAY for n in range(BATCHES)]


def _exit(window: ActionWindow, rank: int, scoring: Scoring, now: datetime) -> tuple[date | None, int | None]:
    for as_of in batches(now):
        lower = window.at(as_of).rank(scoring, as_of)
        if lower > rank:
            return as_of.date(), lower
    return None, None


def _least(standing: WindowTotals, rank: int, scoring: Scoring, now: datetime, as_of: datetime) -> Effort | None:
    """The least done at `now` that gives `rank` or better as of `as_of`."""
    efforts = sorted(_efforts(standing, scoring.cuts))
    enough = (effort for effort in efforts if standing.after(effort, now).rank(scoring, as_of) <= rank)
    least = next(enough, None)
    return least if least and least.actions else None


def _efforts(standing: WindowTotals, cuts: CutPoints) -> Iterator[Effort]:
    """All that can be least: more never lowers a score, so it ends exactly at a cut point, or is a bare action."""
    counts = {0, 1} | {cut - standing.frequency for cut in cuts.frequency if cut and cut > standing.frequency}
    values = {ZERO} | {cut - standing.monetary for cut in cuts.monetary if cut is not None and cut > standing.monetary}
    for count, value in product(counts, values):
        yield Effort(max(count, ceil(value / MOST)), value)
