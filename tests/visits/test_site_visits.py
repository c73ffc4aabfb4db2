"""POST /api/notify/site_visit and GET /api/site-visits."""

from datetime import timedelta

import pytest
from django.utils import timezone

from ccweb.api.event_ids import MAX_UUID, NIL_UUID
from ccweb.events.erasure import mark_erased
from tests.support.api_client import faults, get, post
from visits.models import SiteVisit

pytestmark = pytest.mark.django_db
ID = "018f3c5e-7a10-7cc0-8000-00000000000a"


def test_a_visit_is_stored() -> None:
    answer = post("notify/site_visit", {"user_id": 7, "source": "newsletter"})
    assert answer.status_code == 201
    row = SiteVisit.objects.get()
    assert answer.json() == {
        "id": row.pk,
        "event_id": str(row.event_id),
        "user_id": 7,
        "source": "newsletter",
        "visit_timestamp": row.visit_timestamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    assert get("site-visits").json()["results"] == [answer.json()]


def test_a_retry_is_replayed_and_other_content_is_a_conflict() -> None:
    at = (timezone.now() - timedelta(days=1)).isoformat()
    sent = {"user_id": 7, "source": "ad", "event_id": ID, "visit_timestamp": at}
    first, again, other = (post("notify/site_visit", sent | more) for more in ({}, {}, {"source": "mail"}))
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 409]
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert SiteVisit.objects.count() == 1


def test_a_visit_of_an_erased_user_is_rejected() -> None:
    mark_erased(7)
    assert post("notify/site_visit", {"user_id": 7, "source": "ad"}).status_code == 410
    assert not SiteVisit.objects.exists()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/user_id": "required", "/source": "required"}),
        ([], {"": "type"}),
        ([{"user_id": 7, "source": "ad"}], {"": "type"}),
        ({"user_id": 7, "source": ""}, {"/source": "length"}),
        ({"user_id": 7, "source": "s" * 65}, {"/source": "length"}),
        ({"user_id": 7, "source": "a\nb"}, {"/source": "format"}),
        ({"user_id": 7, "source": "a\u202eb"}, {"/source": "format"}),
        ({"user_id": 7, "source": "a\u200bb"}, {"/source": "format"}),
        ({"user_id": 7, "source": 5}, {"/source": "type"}),
        ({"user_id": 7, "source": "ad", "id": 5}, {"/id": "unknown"}),
        ({"user_id": 7, "source": "ad", "event_id": str(NIL_UUID)}, {"/event_id": "format"}),
        ({"user_id": 7, "source": "ad", "event_id": str(MAX_UUID)}, {"/event_id": "format"}),
        ({"user_id": 7, "source": "ad", "visit_timestamp": "2026-01-01T00:00+05:75"}, {"/visit_timestamp": "format"}),
        ({"user_id": 7, "source": "ad", "visit_timestamp": "2016-01-01T00:00:00Z"}, {"/visit_timestamp": "old"}),
    ],
)
def test_invalid_input_is_named_and_nothing_is_stored(body: object, expected: dict) -> None:
    assert faults(post("notify/site_visit", body)) == expected
    assert not SiteVisit.objects.exists()


def test_visits_are_filtered_and_newest_first() -> None:
    for source in ("ad", "mail", "ad"):
        post("notify/site_visit", {"user_id": 7, "source": source})
    post("notify/site_visit", {"user_id": 8, "source": "ad"})
    found = get("site-visits?user_id=7&source=ad").json()["results"]
    assert [visit["id"] for visit in found] == sorted((v["id"] for v in found), reverse=True)
    assert [(visit["user_id"], visit["source"]) for visit in found] == [(7, "ad"), (7, "ad")]
