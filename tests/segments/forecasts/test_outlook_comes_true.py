"""What the outlook says, against the real batch."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from actions.models import UserAction
from segments.forecasts.outlook import Effort, Outlook, outlook_of
from segments.models import UserSegment
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.segments.random_users import DAY, NEXT_BATCH, NOW, random_users

pytestmark = pytest.mark.django_db

RANKS = {"Whale": 0, "Medium": 1, "Low": 2}
SIZES = pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
CENT = Decimal("0.01")
Efforts = dict[int, Effort]


def outlooks(count: int) -> dict[int, Outlook]:
    return {user_id: outlook_of(user_id=user_id, now=NOW) for user_id in random_users(count, seed=count)}


def groups(as_of: datetime) -> dict[int, str]:
    """Every user's group after a real run."""
    compute_rfm_and_update_segments(as_of=as_of)
    return dict(UserSegment.objects.values_list("user_id", "rfm_group"))


@SIZES
def test_31_days_of_batches_give_exactly_the_predicted_day_and_group(count: int) -> None:
    seen = outlooks(count)
    now = groups(NOW)
    assert {user_id: outlook.rfm_group for user_id, outlook in seen.items()} == now
    left: dict[int, tuple[date, str]] = {}
    for as_of in (NEXT_BATCH + n * DAY for n in range(31)):
        for user_id, group in groups(as_of).items():
            if RANKS[group] > RANKS[now[user_id]]:
                left.setdefault(user_id, (as_of.date(), group))
    assert len(left) > count / 2
    assert left == {user_id: (o.leaves_on, o.falls_to) for user_id, o in seen.items() if o.leaves_on}


def after(efforts: Efforts, as_of: datetime) -> dict[int, str]:
    """These users' groups after these further actions, which are rolled back."""
    further = [
        UserAction(user_id=user_id, action_type="further", action_timestamp=NOW, value=0 if n else effort.value)
        for user_id, effort in efforts.items()
        for n in range(effort.actions)
    ]
    UserAction.objects.bulk_create(further)
    found = groups(as_of)
    UserAction.objects.filter(action_type="further").delete()
    return {user_id: found[user_id] for user_id in efforts}


def assert_least(efforts: Efforts, goals: dict[int, str], as_of: datetime) -> None:
    """Assert that the efforts reach the goals, and one action or one cent less does not."""
    assert len(efforts) > len(goals) / 20
    assert after(efforts, as_of) == {user_id: goals[user_id] for user_id in efforts}
    fewer = {u: Effort(e.actions - 1, e.value) for u, e in efforts.items()}
    poorer = {u: Effort(e.actions, e.value - CENT) for u, e in efforts.items() if e.value}
    assert poorer
    for less in (fewer, poorer):
        reached = after(less, as_of)
        assert [u for u, group in reached.items() if RANKS[group] <= RANKS[goals[u]]] == []


@SIZES
def test_to_stay_is_the_least_that_keeps_the_group_for_seven_days(count: int) -> None:
    seen = outlooks(count)
    later = NOW + timedelta(days=7)
    kept = groups(later)
    efforts = {user_id: outlook.to_stay for user_id, outlook in seen.items() if outlook.to_stay}
    assert efforts.keys() == {u for u, outlook in seen.items() if RANKS[kept[u]] > RANKS[outlook.rfm_group]}
    assert_least(efforts, {user_id: outlook.rfm_group for user_id, outlook in seen.items()}, later)


@SIZES
def test_to_rise_is_the_least_that_lifts_into_the_next_better_group_now(count: int) -> None:
    seen = outlooks(count)
    better = {"Medium": "Whale", "Low": "Medium"}
    efforts = {user_id: outlook.to_rise for user_id, outlook in seen.items() if outlook.to_rise}
    assert efforts.keys() == {user_id for user_id, outlook in seen.items() if outlook.rfm_group in better}
    assert_least(efforts, {user_id: better.get(o.rfm_group, "") for user_id, o in seen.items()}, NOW)
