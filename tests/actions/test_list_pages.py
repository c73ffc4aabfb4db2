"""GET /api/actions: newest first, in pages, filtered."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.utils import timezone

from tests.support.api_client import faults, get, post

pytestmark = pytest.mark.django_db


@pytest.fixture
def recorded() -> list[dict]:
    now = timezone.now()
    ages = [timedelta(days=n % 7, seconds=n) for n in range(25)]
    actions = [
        {"user_id": n % 5 + 1, "action_type": f"type{n % 3}", "action_timestamp": (now - age).isoformat()}
        for n, age in enumerate(ages)
    ]
    post("actions", actions)
    return get("actions").json()["results"]


def path_of(url: str) -> str:
    return url.partition("/api/")[2]


def test_pages_link_forward_and_back_in_order_of_arrival(recorded: list[dict]) -> None:
    first = get("actions?page_size=10").json()
    second = get(path_of(first["next"])).json()
    third = get(path_of(second["next"])).json()
    assert first["results"] + second["results"] + third["results"] == recorded
    assert (first["previous"], third["next"]) == (None, None)
    assert get(path_of(third["previous"])).json()["results"] == second["results"]
    assert get(path_of(second["previous"])).json()["results"] == first["results"]


def test_a_new_action_does_not_shift_the_pages(recorded: list[dict]) -> None:
    first = get("actions?page_size=10").json()
    post("actions", {"user_id": 1, "action_type": "late"})
    assert get(path_of(first["next"])).json()["results"] == recorded[10:20]


def test_filters_narrow_the_list(recorded: list[dict]) -> None:
    since, until = recorded[20]["action_timestamp"], recorded[3]["action_timestamp"]
    low, high = sorted((since, until))
    found = get(f"actions?user_id=2&action_type=type1&since={low}&until={high}").json()["results"]
    assert found == [
        a for a in recorded if a["user_id"] == 2 and a["action_type"] == "type1" and low <= a["action_timestamp"] < high
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("colour=red", {"/colour": "unknown"}),
        ("format=api", {"/format": "unknown"}),
        ("a=%00", {"/a": "unknown"}),
        ("user_id=1&user_id=2", {"/user_id": "repeated"}),
        ("user_id=abc", {"/user_id": "range"}),
        ("user_id=9223372036854775808", {"/user_id": "range"}),
        ("action_type=", {"/action_type": "format"}),
        ("since=2026-01-01", {"/since": "format"}),
        ("since=2026-01-01T00:00:00", {"/since": "format"}),
        ("since=2026-01-01T24:00:00Z", {"/since": "format"}),
        ("until=2026-01-01T00:00:60Z", {"/until": "format"}),
        ("until=2026-01-01T00:00:00%2B05:75", {"/until": "format"}),
        ("page_size=0", {"/page_size": "range"}),
        ("page_size=1001", {"/page_size": "range"}),
        ("cursor=junk", {"/cursor": "format"}),
        ("cursor=" + quote("WyJuZXh0IiwgIjEiLCAiOTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkiXQ=="), {"/cursor": "format"}),
    ],
)
def test_an_invalid_parameter_is_named(query: str, expected: dict) -> None:
    assert faults(get(f"actions?{query}")) == expected


def test_a_list_costs_one_query_whatever_its_size(recorded: list[dict], django_assert_num_queries: object) -> None:
    for size in (1, 25):
        with django_assert_num_queries(1):  # type: ignore[operator]
            assert len(get(f"actions?page_size={size}").json()["results"]) == size
