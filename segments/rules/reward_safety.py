"""Safety checks of a recommendation policy before it is published, with counter-examples.

Checked for every RFM group x risk profile x streak of 0 to 36,500 days: each rule applies to some user, the probability
is in 0..1 and between floor and cap, and the policy's invariants hold. Between two boundaries of rules the same rule
applies, so the probability is monotonic in the streak: its extremes are at the ends of the interval.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise, product
from typing import Any

from segments.rules.rewards import MAX_STREAK, RewardRules, days_text
from segments.rules.risk_profiles import RiskProfile

NEVER_LOWER, AT_MOST, REWARDS = "never_lower_for_a_better_group", "at_most", "expected_rewards_a_day"


@dataclass(frozen=True)
class CounterExample:
    """A user who gets an unsafe answer: by which rule (None: the default), which probability, and why it is unsafe."""

    group: str
    risk_profile: str
    streak: int
    rule: int | None
    probability: Decimal
    why: str

    def __str__(self) -> str:
        source = f"rule {self.rule}" if self.rule else "the default"
        user = f"A user in group {self.group}, {self.risk_profile}, with a streak of {days_text(self.streak)}"
        return f"{user}, gets {self.probability:.4f} by {source}: {self.why}."


@dataclass(frozen=True)
class StreakInterval:
    """The streaks first..last of one group and risk profile to which one rule applies (None: the default)."""

    group: str
    risk_profile: str
    first: int
    last: int
    rule: int | None


@dataclass(frozen=True)
class SafetyCheck:
    """The checks of one policy. `groups` are the groups that users can be in, best first."""

    rules: RewardRules
    groups: Sequence[str]

    def intervals(self) -> Iterator[StreakInterval]:
        """All intervals of all groups and risk profiles; each group and risk profile has the same boundaries."""
        bounds = {0, MAX_STREAK + 1}
        for rule in self.rules.rules:
            bounds |= {rule.streak_from} | ({rule.streak_to + 1} if rule.streak_to is not None else set())
        ranges = list(pairwise(sorted(bounds)))
        for group, risk, (first, after) in product(self.groups, RiskProfile.values, ranges):
            yield StreakInterval(group, risk, first, after - 1, self.rules.matching(group, risk, first))

    def unreachable(self) -> Iterator[CounterExample]:
        """For each rule that never applies, a user whom it matches and to whom an earlier rule applies."""
        intervals = list(self.intervals())
        applied = {interval.rule for interval in intervals}
        for number, rule in enumerate(self.rules.rules, 1):
            if number not in applied:
                interval = next(i for i in intervals if rule.matches(i.group, i.risk_profile, i.first))
                why = f"rule {number} ({rule}) matches this user, but an earlier rule always applies first"
                yield self._example(interval, interval.first, why)

    def outside(self, least: Decimal, most: Decimal, why: str, risk: str | None = None) -> Iterator[CounterExample]:
        """A user (of a risk profile) whose probability is not in least..most, if there is one."""
        for interval in self.intervals():
            for streak in (interval.first, interval.last) if risk in (None, interval.risk_profile) else ():
                if not least <= self.rules.probability(interval.rule, streak) <= most:
                    yield self._example(interval, streak, why)
                    return

    def lower_for_a_better_group(self) -> Iterator[CounterExample]:
        """A user who would get more in the next worse group, if there is one."""
        intervals = list(self.intervals())
        for better, worse in zip(intervals, intervals[len(intervals) // len(self.groups) :], strict=False):
            streak = self._first_lower(better, worse)
            if streak is not None:
                more = self.rules.probability(worse.rule, streak)
                yield self._example(better, streak, f"in the worse group {worse.group} they would get {more:.4f}")
                return

    def _first_lower(self, better: StreakInterval, worse: StreakInterval) -> int | None:
        end = [self.rules.probability(interval.rule, better.last) for interval in (better, worse)]
        for streak in range(better.first, better.last + 1):
            here = [self.rules.probability(interval.rule, streak) for interval in (better, worse)]
            if here[0] < here[1]:
                return streak
            if here == end:  # both are constant from here on
                break
        return None

    def _example(self, interval: StreakInterval, streak: int, why: str) -> CounterExample:
        probability = self.rules.probability(interval.rule, streak)
        return CounterExample(interval.group, interval.risk_profile, streak, interval.rule, probability, why)


def counter_examples(
    rules: RewardRules, invariants: Sequence[dict[str, Any]], groups: Sequence[str]
) -> list[CounterExample]:
    """Users who get an unsafe answer from a well-formed policy; [] when it is safe.

    `groups` are those of the RFM policy, best first; users without a segment count as the last one. Publishing also
    checks the invariant expected_rewards_a_day, which
    depends on how many users there are.
    """
    check = SafetyCheck(rules, groups)
    found = [
        *check.unreachable(),
        *check.outside(Decimal(0), Decimal(1), "a probability lies between 0 and 1"),
    ]
    found += check.outside(rules.floor, rules.cap, f"the floor is {rules.floor}, the cap {rules.cap}")
    for invariant in invariants:
        if invariant["kind"] == NEVER_LOWER:
            found += check.lower_for_a_better_group()
        elif invariant["kind"] == AT_MOST:
            risk, most = invariant["risk_profile"], Decimal(invariant["probability"])
            found += check.outside(Decimal("-Infinity"), most, f"{risk} may get at most {most}", risk)
    return found
