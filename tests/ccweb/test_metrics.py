"""/metrics: requests, events and the state of the deployment."""

import tomllib
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from actions.models import OutboxMessage
from ccweb.db.leader_election import Lead
from ccweb.events.erasure import mark_erased
from segments.models import RfmRun
from tests.support.api_client import get, post
from tests.support.deployment import ROOT

pytestmark = pytest.mark.django_db
GOOD = {"user_id": 7, "action_type": "login"}


def scrape() -> dict[tuple[str, ...], float]:
    """Every sample: its name and label values, sorted by label, to its value."""
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.content.decode())
    return {(s.name, *(v for _, v in sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def growth(before: dict, name: str, *labels: str) -> float:
    """How much a counter has grown since."""
    return scrape().get((name, *labels), 0) - before.get((name, *labels), 0)


def test_requests_are_counted_by_route_and_status_without_the_users_id() -> None:
    before = scrape()
    get("user-segments/4711")
    get("no-such-thing")
    assert growth(before, "ccweb_requests_total", "GET", "unmatched", "404") == 1
    assert not [labels for labels in scrape() if "4711" in str(labels)]
    assert growth(before, "ccweb_request_seconds_count", "GET", "unmatched") == 1


@pytest.mark.parametrize(
    ("body", "outcome"),
    [(GOOD, "accepted"), ({}, "invalid"), (b"{", "invalid"), (GOOD | {"user_id": 8}, "erased")],
)
def test_single_events_are_counted_by_outcome(body: object, outcome: str) -> None:
    mark_erased(8)
    before = scrape()
    post("actions", body)
    assert growth(before, "ccweb_events_total", "actions", outcome) == 1


def test_a_refusal_before_the_view_is_counted_too() -> None:
    before = scrape()
    post("notify/site_visit", b" " * (2**20 + 1))
    assert growth(before, "ccweb_events_total", "visits", "too_large") == 1


def test_the_events_of_a_list_are_counted_one_by_one() -> None:
    before = scrape()
    same = GOOD | {"event_id": "018f3c5e-7a10-7cc0-8000-00000000000a"}
    post("actions", [same, same, same | {"value": 3}, {}, {}])
    counted = {o: growth(before, "ccweb_events_total", "actions", o) for o in ("accepted", "duplicate", "conflict")}
    assert counted == {"accepted": 1, "duplicate": 1, "conflict": 1}
    assert growth(before, "ccweb_events_total", "actions", "invalid") == 2


def test_the_backlog_and_its_age_are_shown() -> None:
    assert (scrape()["ccweb_outbox_waiting",], scrape()["ccweb_outbox_oldest_seconds",]) == (0, 0)
    post("actions", [GOOD, GOOD, GOOD])
    OutboxMessage.objects.update(created_at=timezone.now() - timedelta(hours=1))
    OutboxMessage.objects.filter(pk=OutboxMessage.objects.latest("id").pk).update(quarantined_at=timezone.now())
    found = scrape()
    assert found["ccweb_outbox_waiting",] == 2
    assert 3600 <= found["ccweb_outbox_oldest_seconds",] < 3700
    assert found["ccweb_outbox_quarantined",] == 1


def test_the_last_successful_rfm_run_is_shown() -> None:
    at = datetime(2026, 11, 20, 2, tzinfo=UTC)
    ended = {"started_at": at, "kind": "daily"}
    RfmRun.objects.create(status="done", finished_at=at + timedelta(seconds=3), **ended)
    RfmRun.objects.create(status="failed", finished_at=at + timedelta(days=1), **ended)
    found = scrape()
    assert found["ccweb_rfm_last_success_timestamp_seconds",] == at.timestamp() + 3
    assert found["ccweb_rfm_last_success_duration_seconds",] == 3


def test_the_relays_leader_is_seen_and_not_disturbed() -> None:
    assert scrape()["ccweb_relay_leaders",] == 0
    lead = Lead("relay")
    assert lead.hold()
    try:
        assert scrape()["ccweb_relay_leaders",] == 1
        assert lead.hold()
    finally:
        lead.release()
    assert scrape()["ccweb_relay_leaders",] == 0


def test_the_release_is_shown_with_the_version_of_the_project(settings: Settings) -> None:
    settings.RELEASE = "4f2a9c1"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert scrape()["ccweb_build_info", "4f2a9c1", version] == 1


def test_others_than_this_machine_see_no_metrics() -> None:
    assert Client(REMOTE_ADDR="203.0.113.9").get("/metrics").status_code in (403, 404)
