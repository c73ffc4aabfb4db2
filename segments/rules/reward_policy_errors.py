"""Validation of a recommendation policy's form, with messages for its author."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from segments.rules.reward_safety import AT_MOST, NEVER_LOWER, REWARDS
from segments.rules.rewards import MAX_STREAK
from segments.rules.risk_profiles import RiskProfile

RULE = ("group", "risk_profile", "streak_from", "streak_to", "probability", "time_window")
PROBABILITY = re.compile(r"[01](\.[0-9]{1,6})?")
WINDOW_LENGTH = 64
INVARIANTS = {NEVER_LOWER: {"kind"}, AT_MOST: {"kind", "risk_profile", "probability"}, REWARDS: {"kind", "at_most"}}


def is_probability(value: Any) -> bool:
    """Text from "0" to "1" with at most 6 places."""
    return isinstance(value, str) and PROBABILITY.fullmatch(value) is not None and Decimal(value) <= 1


def is_time_window(value: Any) -> bool:
    """1 to 64 printable characters, without leading or trailing blanks."""
    return isinstance(value, str) and 0 < len(value) <= WINDOW_LENGTH and value.isprintable() and value == value.strip()


def rule_errors(rules: Any, groups: Sequence[str]) -> list[str]:
    """Messages about the form of the rules; [] when they are valid."""
    if not isinstance(rules, list):
        return ["A list of rules is needed; it may be empty, then all users get the default."]
    return [error for number, rule in enumerate(rules, 1) for error in _rule_errors(number, rule, groups)]


def _rule_errors(number: int, rule: Any, groups: Sequence[str]) -> Iterator[str]:
    if not isinstance(rule, dict) or set(rule) != set(RULE):
        yield f"Rule {number} must have exactly: {', '.join(RULE)}."
        return
    if rule["group"] is not None and rule["group"] not in groups:
        yield f"Rule {number}: the group must be null (any) or one of {', '.join(groups)}, not {rule['group']!r}."
    if rule["risk_profile"] is not None and rule["risk_profile"] not in RiskProfile.values:
        yield f"Rule {number}: the risk profile must be null (any) or one of {', '.join(RiskProfile.values)}."
    if not is_probability(rule["probability"]):
        yield f'Rule {number}: the probability must be text from "0" to "1" with at most 6 places, such as "0.25".'
    if not is_time_window(rule["time_window"]):
        yield f'Rule {number}: the time window must be 1 to {WINDOW_LENGTH} characters, such as "next 24 hours".'
    yield from _streak_errors(number, rule["streak_from"], rule["streak_to"])


def _streak_errors(number: int, first: Any, last: Any) -> Iterator[str]:
    if type(first) is not int or not 0 <= first <= MAX_STREAK:
        yield f"Rule {number}: streak_from must be a whole number of days from 0 to {MAX_STREAK}."
    elif last is not None and (type(last) is not int or not 0 <= last <= MAX_STREAK):
        yield f"Rule {number}: streak_to must be null (no end) or a whole number of days from 0 to {MAX_STREAK}."
    elif last is not None and last < first:
        yield f"Rule {number} never answers: its streak goes from {first} to {last} days."


def invariant_errors(invariants: Any) -> list[str]:
    """Messages about the form of the invariants; [] when they are valid."""
    if not isinstance(invariants, list):
        return ["A list of invariants is needed; it may be empty."]
    return [error for number, invariant in enumerate(invariants, 1) for error in _invariant_errors(number, invariant)]


def _invariant_errors(number: int, invariant: Any) -> Iterator[str]:
    kind = invariant.get("kind") if isinstance(invariant, dict) else None
    if kind not in INVARIANTS:
        yield f"Invariant {number}: the kind must be one of {', '.join(INVARIANTS)}."
    elif set(invariant) != INVARIANTS[kind]:
        yield f"Invariant {number} ({kind}) must have exactly: {', '.join(sorted(INVARIANTS[kind]))}."
    elif kind == AT_MOST and invariant["risk_profile"] not in RiskProfile.values:
        yield f"Invariant {number}: the risk profile must be one of {', '.join(RiskProfile.values)}."
    elif kind == AT_MOST and not is_probability(invariant["probability"]):
        yield f'Invariant {number}: the probability must be text from "0" to "1" with at most 6 places.'
    elif kind == REWARDS and (type(invariant["at_most"]) is not int or invariant["at_most"] < 0):
        yield f"Invariant {number}: at_most must be a whole number of rewards a day."
