"""The batch against a naive oracle, row by row."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from actions.models import UserAction
from segments.models import RfmPolicy, RfmRun
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.segments.cdnow import cdnow_actions, import_cdnow
from tests.segments.rfm_oracle import DAY, Action, NaivePolicy, naive_rows, stored_rows

pytestmark = pytest.mark.django_db

AS_OF = datetime(2026, 3, 1, 2, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
EXAMPLES = settings(max_examples=60)

edges = st.builds(
    lambda days, shift: AS_OF - days * DAY + shift * MICROSECOND,
    st.sampled_from([-1, 0, 6, 7, 8, 29, 30, 31, 60]),
    st.integers(-1, 1),
)
instants = edges | st.timedeltas(-31 * DAY, 90 * DAY).map(lambda age: AS_OF - age)
values = st.sampled_from(["0", "0.01", "-5.00", "6.66", "6.67", "19.99", "20", "33.33", "100", "9999999999.99"])
actions = st.lists(st.builds(Action, st.integers(1, 4), instants, values.map(Decimal)), max_size=30)
shifts = st.sampled_from([timedelta(0), MICROSECOND, DAY, 22 * DAY, 31 * DAY, -1 * DAY, -40 * DAY])
histories = st.lists(st.tuples(actions, shifts), min_size=1, max_size=4)


def store(done: list[Action]) -> None:
    UserAction.objects.bulk_create(
        UserAction(user_id=action.user_id, action_type="x", value=action.value, action_timestamp=action.at)
        for action in done
    )


@EXAMPLES
@given(histories)
def test_every_run_of_any_history_gives_what_the_oracle_gives(history: list[tuple[list[Action], timedelta]]) -> None:
    with transaction.atomic():
        done: list[Action] = []
        as_of = AS_OF
        for arrived, shift in history:  # some of them late, some of them early
            store(arrived)
            done += arrived
            as_of += shift
            compute_rfm_and_update_segments(as_of=as_of)
            assert stored_rows() == naive_rows(done, as_of)
        transaction.set_rollback(True)


@EXAMPLES
@given(actions)
def test_quintiles_put_equal_users_on_equal_scores(done: list[Action]) -> None:
    with transaction.atomic():
        store(done)
        publish_rfm_policy(
            kind=RfmPolicy.Kind.QUANTILE, rules=RfmPolicy.objects.active().rules, negative_is_activity=True
        )
        cuts = compute_rfm_and_update_segments(as_of=AS_OF).cuts
        money = [None if cut is None else Decimal(cut) for cut in cuts["monetary"]]
        found = stored_rows()
        assert found == naive_rows(done, AS_OF, NaivePolicy([cuts["recency"], cuts["frequency"], money]))
        active = [row for row in found.values() if row.frequency]
        for row in active:
            assert row.frequency_score == 1 + 5 * sum(r.frequency < row.frequency for r in active) // len(active)
            assert row.monetary_score == 1 + 5 * sum(r.monetary < row.monetary for r in active) // len(active)
            days = (AS_OF - (row.last_action_at or AS_OF)).days
            further = sum((AS_OF - r.last_action_at).days > days for r in active if r.last_action_at)
            assert row.recency_score == 1 + 5 * further // len(active)
        transaction.set_rollback(True)


def test_ten_different_users_are_two_in_each_quintile() -> None:
    for user in range(1, 11):
        store([Action(user, AS_OF - 2 * (10 - user) * DAY, Decimal("0.29"))] * user)
    publish_rfm_policy(kind=RfmPolicy.Kind.QUANTILE, rules=RfmPolicy.objects.active().rules, negative_is_activity=True)
    compute_rfm_and_update_segments(as_of=AS_OF)
    scores = [(row.recency_score, row.frequency_score, row.monetary_score) for _, row in sorted(stored_rows().items())]
    assert scores == [(n, n, n) for n in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)]


def test_sums_of_exactly_20_reach_20() -> None:
    cents = [(first, second, 2000 - first - second) for first in range(1, 1000, 37) for second in range(1, 1000, 41)]
    for user, parts in enumerate(cents, 1):  # floats fall short in one case of seven
        store([Action(user, AS_OF, Decimal(part) / 100) for part in parts])
    compute_rfm_and_update_segments(as_of=AS_OF)
    assert {(row.monetary, row.monetary_score) for row in stored_rows().values()} == {(Decimal(20), 3)}


THREE = ["1997-04-01T02:00:00Z", "1997-05-02T02:00:00Z", "1998-03-07T12:34:56.789Z"]
TEN = [f"1997-{month:02}-11T02:00:00Z" for month in range(1, 11)]


@pytest.mark.parametrize("dates", [THREE, pytest.param(TEN, marks=pytest.mark.long)], ids=["three", "ten"])
def test_all_cdnow_customers_are_where_the_oracle_puts_them(dates: list[str]) -> None:
    import_cdnow()
    done = cdnow_actions()
    for date in dates:
        call_command("compute_rfm", f"--as-of={date}")
        assert stored_rows() == naive_rows(done, datetime.fromisoformat(date))
    assert RfmRun.objects.done().count() == len(dates)
