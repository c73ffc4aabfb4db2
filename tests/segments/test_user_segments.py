"""GET and PATCH /api/user-segments."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from ccweb.events.erasure import mark_erased
from segments.models import RiskChange, RiskProfile, UserSegment
from tests.support.api_client import JSON, faults, get

pytestmark = pytest.mark.django_db


def patch(path: str, body: Any) -> Any:
    return Client().patch(f"/api/{path}", json.dumps(body).encode(), content_type=JSON)


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [row["user_id"] for row in response.json()["results"]]


def every_page(path: str) -> list[int]:
    """The user ids of all pages, walked by `next` to the end."""
    found, url = [], f"/api/{path}"
    for _ in range(50):
        page = Client().get(url).json()
        found += [row["user_id"] for row in page["results"]]
        if page["next"] is None:
            return found
        url = page["next"]
    raise AssertionError("the pages do not end")


def test_a_segment_shows_all_its_fields() -> None:
    at = datetime(2026, 11, 1, 12, tzinfo=UTC)
    UserSegment.objects.create(
        user_id=7, rfm_group="Whale", recency_score=5, frequency_score=5, monetary_score=5, frequency=11,
        monetary=Decimal("123.40"), lifetime_actions=40, lifetime_value=Decimal(999),
        first_action_at=datetime(2026, 1, 1, tzinfo=UTC), last_action_at=at,
        last_updated=at + timedelta(days=2, hours=3),
    )  # fmt: skip
    response = get("user-segments/7")
    assert response.status_code == 200
    assert list(response.json().items()) == [
        ("user_id", 7),
        ("rfm_group", "Whale"),
        ("risk_profile", "Unknown"),
        ("recency_score", 5),
        ("frequency_score", 5),
        ("monetary_score", 5),
        ("recency_days", 2),
        ("frequency", 11),
        ("monetary", "123.40"),
        ("lifetime_actions", 40),
        ("lifetime_value", "999.00"),
        ("first_action_at", "2026-01-01T00:00:00.000000Z"),
        ("last_action_at", "2026-11-01T12:00:00.000000Z"),
        ("last_updated", "2026-11-03T15:00:00.000000Z"),
    ]


def test_a_lapsed_user_has_no_recency() -> None:
    UserSegment.objects.create(user_id=7)
    body = get("user-segments/7").json()
    assert (body["recency_days"], body["last_action_at"]) == (None, None)


@pytest.mark.parametrize("user_id", ["8", "0", "-1", "x", str(2**63), "%D9%A7", "07"])
def test_a_user_without_a_segment_is_404(user_id: str) -> None:
    response = get(f"user-segments/{user_id}")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


def test_filters_choose_groups_and_risk_profiles() -> None:
    UserSegment.objects.create(user_id=1, rfm_group="Whale", risk_profile=RiskProfile.HIGH)
    UserSegment.objects.create(user_id=2, rfm_group="Whale")
    UserSegment.objects.create(user_id=3)
    assert ids(get("user-segments?rfm_group=Whale")) == [1, 2]
    assert ids(get("user-segments?risk_profile=High-Risk")) == [1]
    assert ids(get("user-segments?rfm_group=Whale&risk_profile=Unknown")) == [2]
    # Any policy may define other groups: a name that is not in use is no error.
    assert ids(get("user-segments?rfm_group=Dolphin")) == []


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("risk_profile=high", "/risk_profile", "choice"),
        ("rfm_group=", "/rfm_group", "format"),
        ("ordering=last_action_at", "/ordering", "choice"),
        ("ordering=", "/ordering", "choice"),
        ("ordering=frequency,-frequency", "/ordering", "choice"),
        ("user_id=1", "/user_id", "unknown"),
        ("cursor=e30=", "/cursor", "format"),
        ("page_size=0", "/page_size", "range"),
    ],
)
def test_a_wrong_parameter_is_named(query: str, pointer: str, code: str) -> None:
    assert faults(get(f"user-segments?{query}")) == {pointer: code}


def test_any_order_of_columns_pages_through_every_user_once() -> None:
    UserSegment.objects.bulk_create(
        UserSegment(user_id=u, rfm_group=["Low", "Whale"][u % 2], frequency=u % 3, monetary=Decimal(u % 5) / 4)
        for u in range(1, 24)
    )
    rows = list(UserSegment.objects.all())
    for ordering, key in {
        "user_id": lambda s: s.user_id,
        "-user_id": lambda s: -s.user_id,
        "-monetary": lambda s: (-s.monetary, -s.user_id),
        "rfm_group,-frequency": lambda s: (s.rfm_group, -s.frequency, -s.user_id),
        "frequency,-rfm_group,monetary": lambda s: (s.frequency, s.rfm_group != "Whale", s.monetary, s.user_id),
    }.items():
        expected = [row.user_id for row in sorted(rows, key=key)]
        assert every_page(f"user-segments?ordering={ordering}&page_size=4") == expected


def test_previous_leads_back_to_the_page_before() -> None:
    UserSegment.objects.bulk_create(UserSegment(user_id=u, frequency=u % 3) for u in range(1, 10))
    first = get("user-segments?ordering=-frequency&page_size=4").json()
    second = Client().get(first["next"]).json()
    back = Client().get(second["previous"]).json()
    assert back["results"] == first["results"]
    assert (first["previous"], back["previous"]) == (None, None)


def test_a_cursor_of_another_order_is_refused() -> None:
    UserSegment.objects.bulk_create(UserSegment(user_id=u) for u in range(1, 10))
    following = get("user-segments?ordering=-frequency&page_size=4").json()["next"]
    assert faults(Client().get(following.replace("-frequency", "frequency"))) == {"/cursor": "format"}


def test_a_list_costs_one_query_at_any_length(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    UserSegment.objects.bulk_create(UserSegment(user_id=u) for u in range(1, 100))
    with django_assert_num_queries(1):
        get("user-segments?ordering=-monetary,user_id")


def test_the_risk_profile_is_set_and_its_history_kept() -> None:
    UserSegment.objects.create(user_id=7, rfm_group="Whale", last_updated=datetime(2026, 1, 1, tzinfo=UTC))
    response = patch("user-segments/7", {"risk_profile": "High-Risk"})
    assert response.status_code == 200
    assert response.json()["risk_profile"] == "High-Risk"
    assert response.json()["rfm_group"] == "Whale"
    assert response.json()["last_updated"] > "2026-11"
    assert list(RiskChange.objects.values_list("user_id", "from_profile", "to_profile")) == [
        (7, "Unknown", "High-Risk")
    ]


def test_the_same_risk_profile_again_changes_nothing() -> None:
    patch("user-segments/7", {"risk_profile": "Low-Risk"})
    before = UserSegment.objects.values().get()
    assert patch("user-segments/7", {"risk_profile": "Low-Risk"}).status_code == 200
    assert UserSegment.objects.values().get() == before
    assert RiskChange.objects.count() == 1


def test_a_user_without_a_segment_gets_one() -> None:
    response = patch("user-segments/9", {"risk_profile": "Moderate-Risk"})
    assert response.status_code == 200
    assert response.json()["rfm_group"] == "Low"
    assert get("user-segments/9").json() == response.json()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/risk_profile": "required"}),
        ({"risk_profile": "high-risk"}, {"/risk_profile": "choice"}),
        ({"risk_profile": None}, {"/risk_profile": "choice"}),
        ({"risk_profile": ["High-Risk"]}, {"/risk_profile": "choice"}),
        ({"risk_profile": "High-Risk", "rfm_group": "Whale"}, {"/rfm_group": "unknown"}),
        ([{"risk_profile": "High-Risk"}], {"": "type"}),
    ],
)
def test_anything_but_a_risk_profile_is_refused(body: Any, expected: dict[str, str]) -> None:
    assert faults(patch("user-segments/7", body)) == expected
    assert not UserSegment.objects.exists()


def test_an_erased_user_gets_no_segment() -> None:
    mark_erased(7)
    response = patch("user-segments/7", {"risk_profile": "High-Risk"})
    assert (response.status_code, response["Content-Type"]) == (410, "application/problem+json")
    assert not UserSegment.objects.exists()
