"""Validation of an RFM policy, with messages for its author: one sentence for each fault."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from segments.rules.rfm_rule_errors import MONEY

MAX_WINDOW_DAYS = 730
MIN_BINS, MAX_BINS = 2, 10
TYPES_MESSAGE = 'It must be null (all types), {"include": ["purchase"]} or {"exclude": ["page_view"]}.'
ACTION_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")
EXPECTED = {
    "recency": "whole numbers of days from 0 to {window_days}",
    "frequency": "whole numbers of actions from 1 on",
    "monetary": 'sums as text with at most 2 places, such as "20" or "99.50"',
}


def policy_errors(content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Messages by field about what counts, the bins and the cut points; {} when they are valid."""
    errors = {
        "window_days": _range_errors(content["window_days"], 1, MAX_WINDOW_DAYS, "days"),
        "bins": _range_errors(content["bins"], MIN_BINS, MAX_BINS, "bins"),
        "activity_types": types_errors(content["activity_types"]),
        "value_types": types_errors(content["value_types"]),
    }
    if not errors["bins"]:
        errors["shares"] = share_errors(content["shares"], content["kind"], content["bins"])
        if not errors["window_days"]:
            errors |= {f"{dimension}_cuts": cut_errors(dimension, content) for dimension in EXPECTED}
    return {field: texts for field, texts in errors.items() if texts}


def _range_errors(number: Any, least: int, most: int, unit: str) -> list[str]:
    fits = type(number) is int and least <= number <= most
    return [] if fits else [f"It must be a whole number of {unit} from {least} to {most}."]


def types_errors(types: Any) -> list[str]:
    """Messages about activity_types or value_types."""
    if types is None:
        return []
    if not isinstance(types, dict) or len(types) != 1 or not types.keys() <= {"include", "exclude"}:
        return [TYPES_MESSAGE]
    (names,) = types.values()
    if not isinstance(names, list) or not names or not all(_is_type(name) for name in names):
        return [f"{TYPES_MESSAGE} Types are a letter, then letters, digits, _ . : - (at most 64)."]
    doubled = sorted({name for name in names if names.count(name) > 1})
    return [f'The type "{name}" is named more than once.' for name in doubled]


def _is_type(name: Any) -> bool:
    return isinstance(name, str) and ACTION_TYPE.fullmatch(name) is not None


def share_errors(shares: Any, kind: str, bins: int) -> list[str]:
    """Messages about the shares of a quantile policy: percentages of users, best first."""
    if shares is None:
        return []
    if kind != "quantile":
        return ["Only a quantile policy has shares: leave this empty."]
    try:
        numbers = [_share(share) for share in shares]
    except (TypeError, ValueError, InvalidOperation):
        return ["The shares must be percentages of users, best first, such as [1, 4, 15, 30, 50]."]
    if len(numbers) != bins:
        return [f"{bins} shares are needed, one for each bin, not {len(numbers)}."]
    total = sum(numbers, Decimal(0))
    return [] if total == 100 else [f"The shares must add up to 100, not to {total.normalize():f}."]


def _share(share: Any) -> Decimal:
    """A percentage above 0, as a whole number or as text with at most 2 places."""
    if type(share) is int or (isinstance(share, str) and MONEY.fullmatch(share)):
        number = Decimal(share)
        if 0 < number <= 100:
            return number
    raise ValueError(share)


def cut_errors(dimension: str, content: Mapping[str, Any]) -> list[str]:
    """Messages about the cut points of one dimension; [] when they are valid."""
    cuts, bins, window_days = content[f"{dimension}_cuts"], content["bins"], content["window_days"]
    if content["kind"] == "quantile":
        return ["A quantile policy computes its cut points at each run: leave this empty."] if cuts else []
    if not isinstance(cuts, list) or len(cuts) != bins - 1:
        return [f"{_counted(bins - 1)} needed, one fewer than bins, as a list; equal neighbours are allowed."]
    if not all(_is_cut(dimension, cut, window_days) for cut in cuts):
        return [f"The cut points must be {EXPECTED[dimension].format(window_days=window_days)}."]
    return _order_errors(dimension, [Decimal(cut) for cut in cuts])


def _counted(cuts: int) -> str:
    names = dict(enumerate(["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"], 1))
    return f"{names[cuts]} cut point{' is' if cuts == 1 else 's are'}"


def _is_cut(dimension: str, cut: Any, window_days: int) -> bool:
    if dimension == "monetary":
        return type(cut) is str and MONEY.fullmatch(cut) is not None
    least, most = (0, window_days) if dimension == "recency" else (1, 2**31 - 1)
    return type(cut) is int and least <= cut <= most


def _order_errors(dimension: str, cuts: list[Decimal]) -> list[str]:
    falling = dimension == "recency"
    wrong = any(before < after if falling else before > after for before, after in pairwise(cuts))
    # Each further cut point must be at least as hard to reach.
    return [f"The cut points must not {'rise' if falling else 'fall'} from one to the next."] if wrong else []
