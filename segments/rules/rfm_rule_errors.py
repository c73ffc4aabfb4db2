"""Validation of the group rules of an RFM policy, with messages for its author."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from segments.rules.scoring import LOWEST, Rule

SCORES = ("recency", "frequency", "monetary")
MONEY = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,2})?")
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
NAME_LENGTH = 64
MAX_GROUPS = 12
MAX_GONE_DAYS = 3650
REQUIRED = {"name", *SCORES}


def _is_number(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_text(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


OPTIONAL: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lifetime_actions": (_is_number(1, 2**31 - 1), "a whole number of actions from 1 on"),
    "lifetime_value": (_is_text(MONEY), 'a sum as text with at most 2 places, such as "500"'),
    "gone_days": (_is_number(1, MAX_GONE_DAYS), f"a whole number of days from 1 to {MAX_GONE_DAYS}"),
    "color": (_is_text(COLOR), 'a color such as "#1f77b4"'),
}


def rule_errors(rules: Any, bins: int) -> list[str]:
    """Messages about the group rules; [] when they are valid."""
    if not isinstance(rules, list) or not rules:
        return ["A list with at least one rule is needed."]
    if len(rules) > MAX_GROUPS:
        return [f"At most {MAX_GROUPS} groups are allowed, not {len(rules)}."]
    if shapes := [error for number, rule in enumerate(rules, 1) for error in _shape_errors(number, rule, bins)]:
        return shapes
    parsed = [Rule.from_json(rule) for rule in rules]
    return [*_name_errors(parsed), *_coverage_errors(parsed)]


def _shape_errors(number: int, rule: Any, bins: int) -> Iterator[str]:
    if not isinstance(rule, dict) or not rule.keys() >= REQUIRED or not rule.keys() <= REQUIRED | OPTIONAL.keys():
        yield (
            f"Rule {number} must have exactly: name, recency, frequency, monetary; it may have {', '.join(OPTIONAL)}."
        )
        return
    if not isinstance(name := rule["name"], str) or not name.strip() or name != name.strip() or not name.isprintable():
        yield f"Rule {number} needs a name of printable characters, without blanks around it."
    elif len(name) > NAME_LENGTH:
        yield f"The name of rule {number} is longer than {NAME_LENGTH} characters."
    for score in SCORES:
        if type(rule[score]) is not int or not 1 <= rule[score] <= bins:
            yield f"Rule {number}: the least {score} score must be a whole number from 1 to {bins}."
    for key, (is_valid, expected) in OPTIONAL.items():
        if rule.get(key) is not None and not is_valid(rule[key]):
            yield f"Rule {number}: {key} must be {expected}."


def _name_errors(rules: list[Rule]) -> list[str]:
    names = [rule.name for rule in rules]
    doubled = sorted({name for name in names if names.count(name) > 1})
    return [f'The group "{name}" has more than one rule.' for name in doubled]


def _coverage_errors(rules: list[Rule]) -> Iterator[str]:
    for number, rule in enumerate(rules):
        shadow = next((before for before in rules[:number] if before.shadows(rule)), None)
        if shadow:
            yield f'"{rule.name}" can never match: "{shadow.name}" comes before it and requires no higher scores.'
    if rules[-1].least != LOWEST or rules[-1].asks_history:
        yield f'The last rule ("{rules[-1].name}") must match every user: least scores 1, 1, 1 and nothing else.'
