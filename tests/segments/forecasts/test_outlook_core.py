"""The outlook of one user against a naive oracle, and case by case."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from segments.forecasts.outlook import Effort, Outlook, foresee
from segments.forecasts.window_parts import Part
from segments.rules.scoring import CutPoints, Rule, Scoring

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY, MICROSECOND = timedelta(days=1), timedelta(microseconds=1)
RULES = [Rule("Whale", 4, 4, 4), Rule("Medium", 3, 3, 1), Rule("Low", 1, 1, 1)]
MONEY = [Decimal(20), Decimal(20), Decimal(100), Decimal(100)]
REVISION_1 = Scoring(CutPoints([30, 30, 7, 7], [3, 3, 10, 10], MONEY), RULES)
Actions = list[tuple[datetime, Decimal]]
Ages = list[tuple[timedelta, Decimal]]


def as_parts(actions: Actions) -> list[Part]:
    return [Part(at, at, 1, value) for at, value in actions]


def group_of(actions: Actions, scoring: Scoring, as_of: datetime) -> int:
    """The batch's definition, word for word: the rank of the group as of an instant."""
    window = [(at, value) for at, value in actions if as_of - 30 * DAY <= at <= as_of]
    if not window:
        return len(scoring.rules) - 1
    days = (as_of - max(at for at, _ in window)).days
    scores = scoring.cuts.scores(days, len(window), sum(value for _, value in window))
    return next(n for n, rule in enumerate(scoring.rules) if rule.matches(scores))


def brute_exit(actions: Actions, scoring: Scoring, now: datetime) -> tuple[date | None, str | None]:
    rank = group_of(actions, scoring, now)
    for day in range(10, 50):
        as_of = datetime(2026, 3, 1, 2, tzinfo=UTC) + (day - 1) * DAY
        if as_of > now and (lower := group_of(actions, scoring, as_of)) > rank:
            return as_of.date(), scoring.groups[lower]
    return None, None


def brute_effort(actions: Actions, scoring: Scoring, rank: int, now: datetime, as_of: datetime) -> Effort | None:
    for count, cents in product(range(9), range(60)):
        if not count and cents:
            continue
        value = Decimal(cents) / 100
        further = [(now, value if not n else Decimal(0)) for n in range(count)]
        if group_of(actions + further, scoring, as_of) <= rank:
            return Effort(count, value) if count else None
    return None


EDGES = st.builds(
    lambda days, shift: days * DAY + shift * MICROSECOND,
    st.sampled_from([7, 8, 22, 23, 24, 29, 30]),
    st.integers(-1, 1),
)
CENTS = st.integers(-5, 9).map(lambda cents: Decimal(cents) / 100)
AGES = st.lists(st.tuples(EDGES | st.timedeltas(-timedelta(minutes=5), 31 * DAY), CENTS), max_size=9)
NOWS = st.sampled_from([timedelta(0), timedelta(hours=-10), timedelta(hours=-10, microseconds=-1)]).map(NOW.__add__)
FALLING = st.lists(st.none() | st.integers(0, 30), min_size=4, max_size=4).map(
    lambda cuts: sorted(cuts, key=lambda cut: -99 if cut is None else cut, reverse=True)
)
COUNTS = st.lists(st.integers(1, 8), min_size=4, max_size=4).map(sorted)
SUMS = st.lists(st.integers(-9, 15).map(lambda cents: Decimal(cents) / 100), min_size=4, max_size=4).map(sorted)
LEAST = st.tuples(*[st.integers(1, 5)] * 3).filter(lambda least: least != (1, 1, 1))
SCORINGS = st.builds(
    lambda cuts, rules: Scoring(cuts, [*(Rule(f"G{n}", *least) for n, least in enumerate(rules)), Rule("Z", 1, 1, 1)]),
    st.builds(CutPoints, FALLING, COUNTS, SUMS),
    st.lists(LEAST, max_size=3),
)


@given(AGES, SCORINGS, NOWS)
def test_the_outlook_equals_a_search_through_all_days_and_all_efforts(
    ages: Ages, scoring: Scoring, now: datetime
) -> None:
    actions = [(now - age, value) for age, value in ages]
    rank = group_of(actions, scoring, now)
    assert foresee(as_parts(actions), scoring=scoring, now=now) == Outlook(
        scoring.groups[rank],
        *brute_exit(actions, scoring, now),
        brute_effort(actions, scoring, rank, now, now + 7 * DAY),
        brute_effort(actions, scoring, rank - 1, now, now),
    )


def outlook(*actions: tuple[timedelta, str], now: datetime = NOW) -> Outlook:
    """By revision 1, from (age, value) of each action."""
    return foresee(as_parts([(now - age, Decimal(value)) for age, value in actions]), scoring=REVISION_1, now=now)


def test_a_user_without_actions_is_low_for_ever_and_three_actions_lift_them() -> None:
    assert outlook() == Outlook("Low", None, None, None, Effort(3, Decimal(0)))


def test_a_whale_of_today_falls_when_eight_whole_days_are_over() -> None:
    seen = outlook(*[(timedelta(hours=h), "10.00") for h in range(10)])
    assert seen == Outlook("Whale", date(2026, 3, 19), "Medium", None, None)


def test_a_whale_of_a_week_ago_stays_by_one_action_of_no_value() -> None:
    seen = outlook(*[(7 * DAY, "10.00")] * 10)
    assert (seen.leaves_on, seen.to_stay) == (date(2026, 3, 12), Effort(1, Decimal(0)))


def test_what_leaves_the_window_must_be_brought_back() -> None:
    seen = outlook(*[(25 * DAY, "10.00")] * 4, *[(DAY, "8.00")] * 8)
    assert seen.to_stay == Effort(2, Decimal("36.00"))


def test_value_alone_still_takes_one_action() -> None:
    assert outlook(*[(DAY, "9.99")] * 10).to_rise == Effort(1, Decimal("0.10"))


def test_more_value_than_one_action_can_have_takes_two() -> None:
    refund = [(DAY, "-9999999999.99"), *[(DAY, "0.00")] * 12]
    assert outlook(*refund).to_rise == Effort(2, Decimal("10000000099.99"))


def test_an_action_at_the_edge_of_the_window_counts_one_microsecond_less_does_not() -> None:
    edge = datetime(2026, 3, 11, 2, tzinfo=UTC) - (30 * DAY) - NOW
    assert outlook(*[(-edge, "0.00")] * 3).leaves_on == date(2026, 3, 12)
    assert outlook(*[(-edge + MICROSECOND, "0.00")] * 3).leaves_on == date(2026, 3, 11)


def test_the_batch_of_this_very_moment_is_not_the_next_one() -> None:
    now = datetime(2026, 3, 10, 2, tzinfo=UTC)
    assert outlook(*[(30 * DAY, "0.00")] * 3, now=now).leaves_on == date(2026, 3, 11)
    assert outlook(*[(30 * DAY, "0.00")] * 3, now=now - MICROSECOND).leaves_on == date(2026, 3, 10)


def test_an_action_dated_ahead_counts_from_its_own_instant() -> None:
    seen = outlook((-timedelta(minutes=5), "0.00"), *[(DAY, "0.00")] * 2)
    assert seen == Outlook("Low", None, None, None, Effort(1, Decimal(0)))


def test_with_an_action_dated_ahead_one_more_now_is_not_the_last() -> None:
    six_days = Scoring(CutPoints([6] * 4, [3] * 4, MONEY), [Rule("New", 2, 2, 1), Rule("Old", 1, 1, 1)])
    actions = [(NOW - age, Decimal(0)) for age in (29 * DAY, 28 * DAY, 6 * DAY, -timedelta(minutes=5))]
    seen = foresee(as_parts(actions), scoring=six_days, now=NOW)
    assert (seen.rfm_group, seen.to_stay) == ("New", Effort(1, Decimal(0)))
    assert foresee(as_parts(actions[:3]), scoring=six_days, now=NOW).to_stay is None


def test_a_refund_that_leaves_the_window_lifts_the_sum_again() -> None:
    seen = outlook((29 * DAY, "-50.00"), *[(DAY, "12.00")] * 10)
    assert (seen.rfm_group, seen.to_rise, seen.leaves_on) == ("Medium", Effort(1, Decimal("30.00")), date(2026, 4, 9))
