"""Validation of an RFM policy, with messages for its author."""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

from segments.rules.scoring import WINDOW, Rule, Scores

SCORES = ("recency", "frequency", "monetary")
MONEY = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,2})?")
NAME_LENGTH = 64
EXPECTED = {
    "recency": f"whole numbers of days from 0 to {WINDOW.days}",
    "frequency": "whole numbers of actions from 1 on",
    "monetary": 'sums as text with at most 2 places, such as "20" or "99.50"',
}


def cut_errors(dimension: str, cuts: Any, kind: str) -> list[str]:
    """Messages about the cut points of one dimension; [] when they are valid."""
    if kind == "quantile":
        return ["A quantile policy computes its cut points at each run: leave this empty."] if cuts else []
    if not isinstance(cuts, list) or len(cuts) != 4:
        return ["Four cut points are needed, as a list; equal neighbours are allowed."]
    if not all(_is_cut(dimension, cut) for cut in cuts):
        return [f"The cut points must be {EXPECTED[dimension]}."]
    return _order_errors(dimension, [Decimal(cut) for cut in cuts])


def _is_cut(dimension: str, cut: Any) -> bool:
    if dimension == "monetary":
        return type(cut) is str and MONEY.fullmatch(cut) is not None
    least, most = (0, WINDOW.days) if dimension == "recency" else (1, 2**31 - 1)
    return type(cut) is int and least <= cut <= most


def _order_errors(dimension: str, cuts: list[Decimal]) -> list[str]:
    falling = dimension == "recency"
    wrong = any(before < after if falling else before > after for before, after in pairwise(cuts))
    # Each further cut point must be at least as hard to reach.
    return [f"The cut points must not {'rise' if falling else 'fall'} from one to the next."] if wrong else []


def rule_errors(rules: Any) -> list[str]:
    """Messages about the group rules; [] when they are valid."""
    if not isinstance(rules, list) or not rules:
        return ["A list with at least one rule is needed."]
    if shapes := [error for number, rule in enumerate(rules, 1) for error in _shape_errors(number, rule)]:
        return shapes
    parsed = [Rule(**rule) for rule in rules]
    return [*_name_errors(parsed), *_coverage_errors(parsed)]


def _shape_errors(number: int, rule: Any) -> Iterator[str]:
    if not isinstance(rule, dict) or set(rule) != {"name", *SCORES}:
        yield f"Rule {number} must have exactly: name, recency, frequency, monetary."
        return
    if not isinstance(name := rule["name"], str) or not name.strip() or name != name.strip() or not name.isprintable():
        yield f"Rule {number} needs a name of printable characters, without blanks around it."
    elif len(name) > NAME_LENGTH:
        yield f"The name of rule {number} is longer than {NAME_LENGTH} characters."
    for score in SCORES:
        if type(rule[score]) is not int or not 1 <= rule[score] <= 5:
            yield f"Rule {number}: the least {score} score must be a whole number from 1 to 5."


def _name_errors(rules: list[Rule]) -> list[str]:
    names = [rule.name for rule in rules]
    doubled = sorted({name for name in names if names.count(name) > 1})
    return [f'The group "{name}" has more than one rule.' for name in doubled]


def _coverage_errors(rules: list[Rule]) -> Iterator[str]:
    for number, rule in enumerate(rules):
        shadow = next((before for before in rules[:number] if before.matches(rule.least)), None)
        if shadow:
            yield f'"{rule.name}" can never match: "{shadow.name}" comes before it and requires no higher scores.'
    if rules[-1].least != Scores(1, 1, 1):
        yield f'The last rule ("{rules[-1].name}") must match every user: least scores 1, 1, 1.'
