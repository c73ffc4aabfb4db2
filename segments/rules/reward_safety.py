"""Prove a recommendation policy safe before it is published, or name a user whom it would answer wrongly.

Checked for every RFM group x risk profile x streak of 0 to 36,500 days: which rule answers (no rule is in vain), and
that the probability lies in 0..1 and keeps what the staff demand. Between two boundaries of rules one rule answers, so
the probability only rises or only falls with the streak: its extremes stand at the ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise, product
from typing import Any

from segments.rules.rewards import MAX_STREAK, RewardRules
from segments.rules.risk_profiles import RiskProfile

NEVER_LOWER, AT_MOST, REWARDS = "never_lower_for_a_better_group", "at_most", "expected_rewards_a_day"


@dataclass(frozen=True)
class CounterExample:
    """A user whom the policy answers wrongly, the rule (None: the default) and probability he gets, and why not."""

    group: str
    risk_profile: str
    streak: int
    rule: int | None
    probability: Decimal
    why: str

    def __str__(self) -> str:
        days = "1 day" if self.streak == 1 else f"{self.streak} days"
        source = f"rule {self.rule}" if self.rule else "the default"
        user = f"A user in group {self.group}, {self.risk_profile}, with a streak of {days}"
        return f"{user}, gets {self.probability:.4f} by {source}: {self.why}."


@dataclass(frozen=True)
class StreakInterval:
    """The streaks first..last of one group and risk profile, all answered by one rule (None: the default)."""

    group: str
    risk_profile: str
    first: int
    last: int
    rule: int | None


@dataclass(frozen=True)
class SafetyCheck:
    """The questions that can be asked about one policy; `groups` are those that users can be in, best first."""

    rules: RewardRules
    groups: Sequence[str]

    def pieces(self) -> Iterator[StreakInterval]:
        """All cells, put together where one rule answers; the same boundaries in every group and risk profile."""
        bounds = {0, MAX_STREAK + 1}
        for rule in self.rules.rules:
            bounds |= {rule.streak_from} | ({rule.streak_to + 1} if rule.streak_to is not None else set())
        stretches = list(pairwise(sorted(bounds)))
        for group, risk, (first, after) in product(self.groups, RiskProfile.values, stretches):
            yield StreakInterval(group, risk, first, after - 1, self.rules.matching(group, risk, first))

    def unreachable(self) -> Iterator[CounterExample]:
        """For each rule that never answers, somebody whom it is about and another rule answers."""
        pieces = list(self.pieces())
        answering = {piece.rule for piece in pieces}
        for number, rule in enumerate(self.rules.rules, 1):
            if number not in answering:
                piece = next(p for p in pieces if rule.matches(p.group, p.risk_profile, p.first))
                why = f"rule {number} ({rule}) is about him but never answers anybody"
                yield self._example(piece, piece.first, why)

    def outside(self, least: Decimal, most: Decimal, why: str, risk: str | None = None) -> Iterator[CounterExample]:
        """Somebody (of a risk profile) whose probability is not in least..most, if there is one."""
        for piece in self.pieces():
            for streak in (piece.first, piece.last) if risk in (None, piece.risk_profile) else ():
                if not least <= self.rules.probability(piece.rule, streak) <= most:
                    yield self._example(piece, streak, why)
                    return

    def lower_for_a_better_group(self) -> Iterator[CounterExample]:
        """Somebody who would get more in the next worse group, if there is one."""
        pieces = list(self.pieces())
        for better, worse in zip(pieces, pieces[len(pieces) // len(self.groups) :], strict=False):
            streak = self._first_lower(better, worse)
            if streak is not None:
                more = self.rules.probability(worse.rule, streak)
                yield self._example(better, streak, f"in the worse group {worse.group} he would get {more:.4f}")
                return

    def _first_lower(self, better: StreakInterval, worse: StreakInterval) -> int | None:
        end = [self.rules.probability(piece.rule, better.last) for piece in (better, worse)]
        for streak in range(better.first, better.last + 1):
            here = [self.rules.probability(piece.rule, streak) for piece in (better, worse)]
            if here[0] < here[1]:
                return streak
            if here == end:  # both stay as they are from here on
                break
        return None

    def _example(self, piece: StreakInterval, streak: int, why: str) -> CounterExample:
        probability = self.rules.probability(piece.rule, streak)
        return CounterExample(piece.group, piece.risk_profile, streak, piece.rule, probability, why)


def with_low(groups: Sequence[str]) -> list[str]:
    """Who has no segment yet counts as Low, also where the RFM policy has no such group."""
    return [*groups, *({"Low"} - set(groups))]


def counter_examples(
    rules: RewardRules, invariants: Sequence[dict[str, Any]], groups: Sequence[str]
) -> list[CounterExample]:
    """Users whom a well-formed policy answers wrongly; [] when it is safe. `groups` are the RFM policy's, best first.

    The invariant expected_rewards_a_day is about people, not cells: publishing checks it.
    """
    ranked, everybody = SafetyCheck(rules, groups), SafetyCheck(rules, with_low(groups))
    found = [*everybody.unreachable(), *everybody.outside(Decimal(0), Decimal(1), "a probability lies between 0 and 1")]
    found += everybody.outside(rules.floor, rules.cap, f"the floor is {rules.floor}, the cap {rules.cap}")
    for invariant in invariants:
        if invariant["kind"] == NEVER_LOWER:
            found += ranked.lower_for_a_better_group()
        elif invariant["kind"] == AT_MOST:
            risk, most = invariant["risk_profile"], Decimal(invariant["probability"])
            found += everybody.outside(Decimal("-Infinity"), most, f"{risk} may get at most {most}", risk)
    return found
