"""GET /api/user-segments/{user_id}/outlook and /history."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from pytest_django import DjangoAssertNumQueries

from actions.models import UserAction
from segments.models import RfmPolicy, RfmRun, SegmentChange
from segments.rfm.policies import publish_rfm_policy
from tests.support.api_client import faults, get

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def act(user_id: int, *, times: int, value: str = "0", age: timedelta = DAY) -> None:
    UserAction.objects.bulk_create(
        UserAction(user_id=user_id, action_type="bet", value=Decimal(value), action_timestamp=NOW - age)
        for _ in range(times)
    )


def run(policy: RfmPolicy, cuts: dict[str, list[object]] | None = None) -> RfmRun:
    return RfmRun.objects.create(
        kind="manual", status="done", as_of=NOW, policy=policy, cuts=cuts or {}, started_at=NOW, finished_at=NOW
    )


@time_machine.travel(NOW, tick=False)
def test_the_outlook_says_when_a_whale_leaves_and_what_keeps_it() -> None:
    act(7, times=10, value="10.00", age=7 * DAY)
    response = get("user-segments/7/outlook")
    assert response.status_code == 200
    assert list(response.json().items()) == [
        ("user_id", 7),
        ("rfm_group", "Whale"),
        ("leaves_on", "2026-03-12"),
        ("falls_to", "Medium"),
        ("to_stay", {"actions": 1, "value": "0.00"}),
        ("to_rise", None),
        ("cut_points", "exact"),
    ]


@time_machine.travel(NOW, tick=False)
def test_the_outlook_of_a_medium_user_says_what_lifts_them() -> None:
    act(7, times=8, value="9.99", age=23 * DAY + timedelta(hours=1))
    body = get("user-segments/7/outlook").json()
    assert (body["rfm_group"], body["leaves_on"], body["falls_to"]) == ("Medium", "2026-03-18", "Low")
    assert body["to_stay"] == {"actions": 3, "value": "0.00"}
    assert body["to_rise"] == {"actions": 2, "value": "20.08"}


@time_machine.travel(NOW, tick=False)
def test_all_users_have_an_outlook_even_without_actions() -> None:
    body = get("user-segments/9223372036854775807/outlook").json()
    assert (body["rfm_group"], body["leaves_on"], body["falls_to"], body["to_stay"]) == ("Low", None, None, None)
    assert body["to_rise"] == {"actions": 3, "value": "0.00"}


def test_a_malformed_user_or_a_parameter_is_refused() -> None:
    assert get("user-segments/0/outlook").status_code == 404
    assert get("user-segments/9223372036854775808/outlook").status_code == 404
    assert faults(get("user-segments/7/outlook?days=7")) == {"/days": "unknown"}


@time_machine.travel(NOW, tick=False)
def test_with_quantiles_the_cut_points_are_those_of_the_policys_last_run() -> None:
    rules = RfmPolicy.objects.active().rules
    policy = publish_rfm_policy(kind="quantile", rules=rules)
    cuts = {"recency": [20, 15, 9, 4], "frequency": [1, 2, 3, None], "monetary": ["1.00", "2.00", "5.00", "9.00"]}
    run(policy, cuts)
    run(RfmPolicy.objects.get(revision=1), {"recency": [0] * 4, "frequency": [99] * 4, "monetary": ["99"] * 4})
    act(7, times=3, value="2.00")
    body = get("user-segments/7/outlook").json()
    assert (body["cut_points"], body["rfm_group"], body["leaves_on"]) == ("frozen", "Whale", "2026-03-20")


@time_machine.travel(NOW, tick=False)
def test_a_quantile_policy_without_a_run_takes_any_runs_cut_points_and_none_before_the_first() -> None:
    publish_rfm_policy(kind="quantile", rules=RfmPolicy.objects.active().rules)
    act(7, times=3)
    lost = get("user-segments/7/outlook").json()
    assert (lost["rfm_group"], lost["to_rise"], lost["cut_points"]) == ("Low", None, "frozen")
    first = RfmPolicy.objects.get(revision=1)
    run(first, first.fixed_cuts.to_json())
    assert get("user-segments/7/outlook").json()["rfm_group"] == "Medium"


def test_an_outlook_reads_twice_whatever_the_user_did(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with time_machine.travel(NOW, tick=False):
        act(7, times=300)
        with django_assert_num_queries(2):
            get("user-segments/7/outlook")


def test_the_history_shows_the_newest_change_first_by_pages() -> None:
    a_run = run(RfmPolicy.objects.active())
    groups = ["", "Low", "Medium", "Whale"]
    for day in range(3):
        SegmentChange.objects.create(
            user_id=7, run=a_run, from_group=groups[day], to_group=groups[day + 1], changed_at=NOW + day * DAY
        )
    SegmentChange.objects.create(user_id=8, run=a_run, from_group="", to_group="Low", changed_at=NOW)
    page = get("user-segments/7/history?page_size=2").json()
    assert page["results"] == [
        {"changed_at": "2026-03-12T12:00:00.000000Z", "from_group": "Medium", "to_group": "Whale", "run": a_run.pk},
        {"changed_at": "2026-03-11T12:00:00.000000Z", "from_group": "Low", "to_group": "Medium", "run": a_run.pk},
    ]
    rest = get(page["next"].partition("/api/")[2]).json()
    assert rest["results"] == [
        {"changed_at": "2026-03-10T12:00:00.000000Z", "from_group": None, "to_group": "Low", "run": a_run.pk}
    ]
    assert rest["next"] is None


def test_a_user_without_a_change_has_an_empty_history() -> None:
    response = get("user-segments/7/history")
    assert (response.status_code, response.json()) == (200, {"next": None, "previous": None, "results": []})
