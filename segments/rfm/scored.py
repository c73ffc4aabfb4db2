"""The SQL of scores and groups, from the columns of a user's figures; the cut points are parameters."""

from collections.abc import Sequence

from segments.rfm.counted import ALWAYS, money
from segments.rules.scoring import Rule


def score(reached: str, dimension: str, cuts: int, batch: str = "") -> str:
    """The SQL of one dimension's score; `reached` is the condition up to the cut point, `batch` a suffix."""
    # Each cut point is at least as hard to reach as the one before.
    whens = [f"WHEN {reached}%({dimension}{number}{batch})s THEN {number + 2}" for number in reversed(range(cuts))]
    lapsed = "" if dimension == "frequency" else f"WHEN frequency{batch} = 0 THEN 1 "
    return f"CASE {lapsed}{' '.join(whens)} ELSE 1 END"


def group_of(rules: Sequence[Rule]) -> str:
    """The SQL of the group's name, from the columns of scores and lifetime."""
    whens = [f"WHEN {conditions(rule, number)} THEN %(group{number})s" for number, rule in enumerate(rules[:-1])]
    return f"CASE {' '.join(whens)} WHEN TRUE THEN %(lapsed_group)s END"


def conditions(rule: Rule, number: int, batch: str = "") -> str:
    """The SQL condition of the rule with this number, from 0; `batch` is a suffix of columns and parameters."""
    least = {"recency_score": rule.recency, "frequency_score": rule.frequency, "monetary_score": rule.monetary}
    texts = [f"{column}{batch} >= {score:d}" for column, score in least.items() if score > 1]
    if rule.lifetime_actions is not None:
        texts.append(f"lifetime_actions{batch} >= {rule.lifetime_actions:d}")
    if rule.lifetime_value is not None:
        texts.append(f"lifetime_value{batch} >= {money(f'%(lifetime_value{number}{batch})s')}")
    if rule.gone_days is not None:
        texts.append(f"last_action_at{batch} <= %(gone{number}{batch})s")
    return " AND ".join(texts) or ALWAYS
