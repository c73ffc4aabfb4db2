"""An independent implementation of the contract, in whole units of 1e-8 and by brute force, and random policies."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise, product
from typing import Any

from hypothesis import strategies as st

from segments.models import RiskProfile

GROUPS = ["Whale", "Medium", "Low"]
STREAKS = range(130)  # beyond, every policy of `policies` answers as on the last of these days
CASES = list(product(GROUPS, RiskProfile.values, STREAKS))
UNIT = 10**8
Policy = dict[str, Any]


@cache
def units(text: str) -> int:
    """A decimal as a whole number of 1e-8."""
    sign = -1 if text.startswith("-") else 1
    whole, _, places = text.lstrip("-").partition(".")
    return sign * (int(whole) * UNIT + int(places.ljust(8, "0")))


def rule_of(policy: Policy, group: str, risk: str, streak: int) -> int | None:
    """The number of the first rule that matches."""
    for number, rule in enumerate(policy["rules"], 1):
        last = 10**9 if rule["streak_to"] is None else rule["streak_to"]
        matches = rule["group"] in (None, group) and rule["risk_profile"] in (None, risk)
        if matches and rule["streak_from"] <= streak <= last:
            return number
    return None


def probability(policy: Policy, group: str, risk: str, streak: int) -> int:
    """In 1e-4, rounded half to even."""
    number = rule_of(policy, group, risk, streak)
    base = policy["rules"][number - 1]["probability"] if number else policy["default_probability"]
    raw = units(base) + units(policy["streak_step"]) * streak
    kept = min(max(raw, units(policy["floor"])), units(policy["cap"]))
    whole, rest = divmod(kept, 10_000)
    return whole + (rest > 5_000 or (rest == 5_000 and whole % 2))


def table(policy: Policy) -> dict[tuple[str, str, int], int]:
    """The probability of every case in 1e-4."""
    return {case: probability(policy, *case) for case in CASES}


def faults(policy: Policy) -> Iterator[str]:
    """What is wrong with a well-formed policy, by a check of every case."""
    probabilities = table(policy)
    answering = {rule_of(policy, *case) for case in CASES}
    yield from (f"rule {n}" for n in range(1, len(policy["rules"]) + 1) if n not in answering)
    low, high = units(policy["floor"]) // 10_000, units(policy["cap"]) // 10_000
    if low > high or not all(0 <= p <= 10_000 for p in probabilities.values()):
        yield "bounds"
    for invariant in policy["invariants"]:
        if invariant["kind"] == "at_most":
            risk, most = invariant["risk_profile"], units(invariant["probability"])
            if any(p * 10_000 > most for (_, of, _), p in probabilities.items() if of == risk):
                yield "at_most"
        elif any(
            probabilities[better, risk, streak] < probabilities[worse, risk, streak]
            for (better, worse), risk, streak in product(pairwise(GROUPS), RiskProfile.values, STREAKS)
        ):
            yield "never_lower"


def _decimals(low: int, high: int, places: int) -> st.SearchStrategy[str]:
    def text(number: int) -> str:
        return f"{number // 10**places}.{number % 10**places:0{places}d}"

    return st.integers(low, high).map(text)


_streaks = st.sampled_from([(0, None), (0, 2), (3, None), (3, 6), (7, 20), (0, 0), (21, None), (1, 1)])
_rules = st.builds(
    lambda group, risk, streak, probability: {
        "group": group,
        "risk_profile": risk,
        "streak_from": streak[0],
        "streak_to": streak[1],
        "probability": probability,
        "time_window": "any time",
    },
    st.sampled_from([None, *GROUPS]),
    st.sampled_from([None, *RiskProfile.values]),
    _streaks,
    _decimals(0, 100, 2) | _decimals(0, 10**6, 6),
)
_at_most = st.builds(
    lambda risk, probability: {"kind": "at_most", "risk_profile": risk, "probability": probability},
    st.sampled_from(RiskProfile.values),
    _decimals(40, 100, 2),
)
policies: st.SearchStrategy[Policy] = st.fixed_dictionaries(
    {
        "rules": st.lists(_rules, max_size=4),
        "streak_step": st.sampled_from(["0.01", "0", "0.0333", "0.012345", "-0.01"]),
        "floor": st.sampled_from(["0.05", "0", "0.2", "-0.1"]),
        "cap": st.sampled_from(["0.95", "1", "0.5", "1.2", "0.1"]),
        "default_probability": _decimals(0, 100, 2),
        "default_time_window": st.just("any time"),
        "invariants": st.lists(_at_most | st.just({"kind": "never_lower_for_a_better_group"}), max_size=2),
    }
)
