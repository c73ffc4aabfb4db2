"""Every field of a policy that says what counts, against the naive oracle, over histories of runs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from actions.models import UserAction
from segments.models import RfmPolicy, RfmRun, SegmentChange, UserSegment
from segments.rfm import batch, high_water_mark
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.segments.rfm_oracle import DAY, REVISION_1, Action, NaivePolicy, naive_rows, stored_rows

pytestmark = pytest.mark.django_db

AS_OF = datetime(2026, 3, 1, 2, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EXAMPLES = settings(max_examples=60)
TYPES = ("buy", "view", "refund")
RULES: list[dict[str, Any]] = [
    {"name": "Best", "recency": 3, "frequency": 2, "monetary": 2},
    {"name": "Can't lose", "recency": 1, "frequency": 1, "monetary": 1, "lifetime_value": "20", "gone_days": 12},
    {"name": "At risk", "recency": 1, "frequency": 1, "monetary": 1, "lifetime_actions": 3},
    {"name": "Seen", "recency": 2, "frequency": 1, "monetary": 1},
    {"name": "Rest", "recency": 1, "frequency": 1, "monetary": 1},
]
FIXED = {"bins": 4, "frequency_cuts": [1, 2, 4], "monetary_cuts": ["0", "5", "20"]}
CUTS = ([10, 5, 2], [1, 2, 4], [Decimal(0), Decimal(5), Decimal(20)])


@dataclass(frozen=True)
class Content:
    """The content of a policy, and what the oracle makes of it."""

    window_days: int
    activity: tuple[str, tuple[str, ...]] | None
    valued: tuple[str, tuple[str, ...]] | None
    negative: bool
    orders: bool

    def published(self) -> RfmPolicy:
        content = FIXED | {"recency_cuts": self.recency_cuts(), "rules": RULES} | self.counting()
        return publish_rfm_policy(**content)

    def recency_cuts(self) -> list[int]:
        """No cut point lies outside the window."""
        return [min(cut, self.window_days) for cut in CUTS[0]]

    def counting(self) -> dict[str, Any]:
        return {
            "window_days": self.window_days,
            "activity_types": _json(self.activity),
            "value_types": _json(self.valued),
            "negative_is_activity": self.negative,
            "count": "orders" if self.orders else "actions",
        }

    def naive(self, cuts: Any = None, rules: Any = RULES) -> NaivePolicy:
        active, valued = _chosen(self.activity), _chosen(self.valued)
        return NaivePolicy(
            cuts=cuts or (self.recency_cuts(), *CUTS[1:]),
            rules=rules,
            window_days=self.window_days,
            is_activity=lambda a: active(a) and (self.negative or a.value >= 0),
            has_value=valued,
            orders=self.orders,
        )


def _json(types: tuple[str, tuple[str, ...]] | None) -> dict[str, list[str]] | None:
    return None if types is None else {types[0]: list(types[1])}


def _chosen(types: tuple[str, tuple[str, ...]] | None) -> Callable[[Action], bool]:
    if types is None:
        return lambda action: True
    return lambda action: (action.action_type in types[1]) == (types[0] == "include")


chosen_types = st.none() | st.tuples(
    st.sampled_from(["include", "exclude"]), st.sampled_from([("buy",), ("view", "refund"), ("never",)])
)
contents = st.builds(
    Content, st.sampled_from([1, 7, 30, 365, 730]), chosen_types, chosen_types, st.booleans(), st.booleans()
)
ages = st.builds(
    lambda days, shift: days * DAY + shift * MICROSECOND,
    st.sampled_from([-1, 0, 1, 2, 3, 7, 12, 13, 30, 31, 365, 366]),
    st.integers(-1, 1),
) | st.timedeltas(-20 * DAY, 60 * DAY)
actions = st.lists(
    st.builds(
        Action,
        st.integers(1, 4),
        ages.map(lambda age: AS_OF - age),
        st.sampled_from(["0", "5", "-5.00", "6.67", "20", "0.01"]).map(Decimal),
        st.sampled_from(TYPES),
        st.sampled_from([None, None, "A", "B"]),
    ),
    max_size=20,
)
shifts = st.sampled_from([timedelta(0), MICROSECOND, DAY, 9 * DAY, 31 * DAY, -1 * DAY, -40 * DAY])
histories = st.lists(st.tuples(actions, shifts, st.none() | contents), min_size=1, max_size=4)


def store(done: list[Action]) -> None:
    UserAction.objects.bulk_create(
        UserAction(
            user_id=a.user_id, action_type=a.action_type, value=a.value, action_timestamp=a.at, order_id=a.order_id
        )
        for a in done
    )


History = list[tuple[list[Action], timedelta, Content | None]]


def follow(history: History) -> None:
    """Make the runs of a history, and compare the rows with the oracle's after each."""
    done: list[Action] = []
    as_of, policy, naive = AS_OF, RfmPolicy.objects.get(revision=1), REVISION_1
    for arrived, shift, content in history:
        store(arrived)
        done += arrived
        as_of += shift
        if content:
            policy, naive = content.published(), content.naive()
        compute_rfm_and_update_segments(as_of=as_of, policy=policy)
        assert stored_rows() == naive_rows(done, as_of, naive)


@EXAMPLES
@given(histories)
def test_a_result_depends_on_actions_policy_and_as_of_only(history: History) -> None:
    """Whatever ran before: earlier and later moments, other policies; late, early and old actions."""
    with transaction.atomic():
        follow(history)
        transaction.set_rollback(True)


def wipe() -> None:
    for model in (SegmentChange, RfmRun, UserSegment, UserAction):
        model._default_manager.all().delete()
    RfmPolicy.objects.exclude(revision=1).delete()


@pytest.mark.django_db(transaction=True)
@EXAMPLES
@given(histories)
def test_runs_that_go_on_from_committed_ones_give_the_same(history: History) -> None:
    """Inside a transaction PostgreSQL knows no final id, so every run reads everything there.

    Without an overlap few actions are late, and with this share their users are computed one by one.
    """
    wipe()
    with patch.object(high_water_mark, "OVERLAP", 0), patch.object(batch, "LATE_SHARE", 1.0):
        follow(history)
    wipe()


shares = st.sampled_from([[1, 99], ["0.5", "9.5", 30, 60], [1, 4, 15, 30, 50], [10] * 10, [50, 25, 25]])


@EXAMPLES
@given(actions, contents, st.integers(2, 10), st.none() | shares)
def test_bins_and_shares_put_equal_users_on_equal_scores(
    done: list[Action], content: Content, bins: int, chosen: list[Any] | None
) -> None:
    with transaction.atomic():
        store(done)
        bins = len(chosen) if chosen else bins
        rules = [{"name": "All", "recency": 1, "frequency": 1, "monetary": 1}]
        publish_rfm_policy(kind="quantile", bins=bins, shares=chosen, rules=rules, **content.counting())
        cuts = compute_rfm_and_update_segments(as_of=AS_OF).cuts
        money = [None if cut is None else Decimal(cut) for cut in cuts["monetary"]]
        found = stored_rows()
        assert found == naive_rows(done, AS_OF, content.naive((cuts["recency"], cuts["frequency"], money), rules))
        active = [row for row in found.values() if row.frequency]
        for row in active:
            gone = (AS_OF - row.last_action_at).days if row.last_action_at else 0
            worse = sum((AS_OF - r.last_action_at).days > gone for r in active if r.last_action_at)
            below = [worse, sum(r.frequency < row.frequency for r in active)]
            below.append(sum(r.monetary < row.monetary for r in active))
            expected = [score_of(count, len(active), bins, chosen) for count in below]
            assert [row.recency_score, row.frequency_score, row.monetary_score] == expected
        transaction.set_rollback(True)


def score_of(below: int, users: int, bins: int, chosen: list[Any] | None) -> int:
    """1 + how many of the worst bins' shares of the users are below; in hundredths of a percent."""
    sizes = [int(Decimal(share) * 100 * bins) for share in reversed(chosen)] if chosen else [10_000] * bins
    needed = [sum(sizes[:number]) for number in range(1, bins)]
    return 1 + sum(below * 10_000 * bins >= need * users for need in needed)


@pytest.fixture
def no_overlap(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(high_water_mark, "OVERLAP", 0)


@pytest.mark.usefixtures("no_overlap")
def test_a_few_late_users_are_computed_from_their_whole_history() -> None:
    done = [Action(user, AS_OF - DAY, Decimal(5)) for user in range(1, 101)]
    store(done)
    compute_rfm_and_update_segments(as_of=AS_OF)
    late = [Action(user, AS_OF - 100 * DAY, Decimal(7)) for user in (1, 2, 500)]
    store(late)
    compute_rfm_and_update_segments(as_of=AS_OF + DAY)
    assert stored_rows() == naive_rows(done + late, AS_OF + DAY)


@pytest.mark.usefixtures("no_overlap")
def test_an_action_that_replaces_an_equal_one_in_the_window_is_in_the_history() -> None:
    """One leaves the window, one of the same value arrives late in it: only the history has changed."""
    done = [Action(1, AS_OF - 30 * DAY, Decimal(5)), Action(1, AS_OF - DAY, Decimal(5))]
    store(done)
    compute_rfm_and_update_segments(as_of=AS_OF)
    late = [Action(1, AS_OF - 2 * DAY, Decimal(5))]
    store(late)
    compute_rfm_and_update_segments(as_of=AS_OF + DAY)
    assert stored_rows() == naive_rows(done + late, AS_OF + DAY)
    assert stored_rows()[1].lifetime_actions == 3
