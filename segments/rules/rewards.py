"""Reward rules: a user's probability, time window and reason, in exact decimals and without database access.

probability = base of the first rule that matches + streak days x step, clamped to floor..cap, rounded to 4 places
(half to even). Probabilities are 0 to 1, streaks whole days.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

MAX_STREAK = 36_500  # days; more is not a streak

PLACES = Decimal("0.0001")
ANSWER_CACHE_SIZE = 4096
UNKNOWN_STREAK = " (not known, so it counts as none)"


def days_text(number: int) -> str:
    """A number of days in words: 1 day, 2 days."""
    return f"{number} day{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class RewardRule:
    """A base probability and time window for matching users; None matches any value."""

    group: str | None
    risk_profile: str | None
    streak_from: int
    streak_to: int | None
    probability: Decimal
    time_window: str

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RewardRule":
        """Parse an item of RecommendationPolicy.rules, whose probability is text."""
        return cls(**data | {"probability": Decimal(data["probability"])})

    def matches(self, group: str, risk_profile: str, streak: int) -> bool:
        """Whether the rule matches such a user; the streak is in days."""
        return (
            self.group in (None, group)
            and self.risk_profile in (None, risk_profile)
            and self.streak_from <= streak
            and (self.streak_to is None or streak <= self.streak_to)
        )

    def __str__(self) -> str:
        parts = [self.group or "any group", self.risk_profile or "any risk"]
        if self.streak_to is not None:
            first = f"{self.streak_from} to " if self.streak_from < self.streak_to else ""
            parts.append(f"streak of {first}{days_text(self.streak_to)}")
        elif self.streak_from:
            parts.append(f"streak of {days_text(self.streak_from)} or more")
        return ", ".join(parts)


@dataclass(frozen=True)
class Answer:
    """A probability with 4 places, a time window, and the sentence whose terms add up to the probability."""

    probability: Decimal
    time_window: str
    reason: str
    rule: int | None = None  # its number, from 1; None for the default


@dataclass(frozen=True, eq=False)
class RewardRules:
    """The content of a recommendation policy."""

    rules: Sequence[RewardRule]
    streak_step: Decimal
    floor: Decimal
    cap: Decimal
    default_probability: Decimal
    default_time_window: str

    @lru_cache(ANSWER_CACHE_SIZE)  # noqa: B019  (few policies at a time; each goes with its entries)
    def answer(self, group: str, risk_profile: str, streak: int | None) -> Answer:
        """The answer for such a user; the streak (days) is None when it is not known."""
        days = streak or 0
        number = self.matching(group, risk_profile, days)
        rule = self.rules[number - 1] if number else None
        source = f"from rule {number} ({rule})" if rule else f"by default (no rule is about {group}, {risk_profile})"
        for_streak = f"for a streak of {days_text(days)}"
        terms = [
            (self.base(number), source),
            (self.streak_step * days, for_streak + ("" if streak is not None else UNKNOWN_STREAK)),
            *self._corrections(self.base(number) + self.streak_step * days),
        ]
        total = self.probability(number, days)
        return Answer(total, rule.time_window if rule else self.default_time_window, sentence(terms, total), number)

    def matching(self, group: str, risk_profile: str, streak: int) -> int | None:
        """The number (from 1) of the first rule that matches, None when none does."""
        matches = (n for n, rule in enumerate(self.rules, 1) if rule.matches(group, risk_profile, streak))
        return next(matches, None)

    def base(self, rule: int | None) -> Decimal:
        """The base probability of a rule by number, of the default for None."""
        return self.rules[rule - 1].probability if rule else self.default_probability

    def probability(self, rule: int | None, streak: int) -> Decimal:
        """The probability by a rule number (None: the default) and a streak in days."""
        return self._clamped(self.base(rule) + self.streak_step * streak).quantize(PLACES, ROUND_HALF_EVEN)

    def _clamped(self, raw: Decimal) -> Decimal:
        return min(max(raw, self.floor), self.cap)

    def _corrections(self, raw: Decimal) -> list[tuple[Decimal, str]]:
        clamped = self._clamped(raw)
        rounding = clamped.quantize(PLACES, ROUND_HALF_EVEN) - clamped
        terms = [(clamped - raw, "by the floor" if clamped > raw else "by the cap"), (rounding, "by rounding")]
        return [(amount, text) for amount, text in terms if amount]


def sentence(terms: Sequence[tuple[Decimal, str]], total: Decimal) -> str:
    """The reason, such as: base 0.2500 from rule 3 (Low, any risk) + 0.0700 for a streak of 7 days = 0.3200"""
    (base, source), *others = terms
    parts = [f"base {_exact(base)} {source}"]
    parts += [f"{'-' if amount < 0 else '+'} {_exact(abs(amount))} {text}" for amount, text in others]
    return f"{' '.join(parts)} = {_exact(total)}"


def _exact(amount: Decimal) -> str:
    """All digits, at least 4 places."""
    return f"{amount:.4f}" if amount == amount.quantize(PLACES) else f"{amount.normalize():f}"
