"""Every list of the admin, asked in odd ways: a page, a redirect or 400, and never an error of the server."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import CharField, Model, TextField
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from actions.models import HourlyCount, OutboxMessage
from ccweb.api.models import create_key
from segments.models import KillSwitch, RfmPolicy, RfmRun, RiskChange, SegmentChange, UserSegment
from tests.support.api_client import post
from visits.models import SiteVisit

pytestmark = pytest.mark.django_db
QUERIES = [
    *("", "q=7", "q=abc", "q=%00", "q=%ff", "q=" + "7" * 300),
    *("p=abc", "p=-1", "p=" + "9" * 30, "all=", "o=99", "o=-1.2.x", "o=" + "9" * 30),
    *("unknown=1", "pk=x", "pk=" + "9" * 30, "pk__isnull=x", "%00=1", "__=1", "_facets=1", "e=1"),
    *("_popup=1", "_to_field=x", "_changelist_filters=x"),
]
FINE = {200, 302, 400}  # a page, the list without the odd parameter, "Bad request"


@pytest.fixture
def staff() -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("anna"))
    return client


@pytest.fixture
def rows() -> None:
    """At least one row in most tables: some faults show only when a row is drawn."""
    post("actions", {"user_id": 7, "action_type": "login"})
    now, policy = timezone.now(), RfmPolicy.objects.active()
    run = RfmRun.objects.create(kind="manual", status="done", policy=policy, as_of=now)
    SegmentChange.objects.create(user_id=7, run=run, to_group="Whale", changed_at=now)
    RiskChange.objects.create(user_id=7, from_profile="Unknown", to_profile="Low-Risk", changed_by="anna")
    UserSegment.objects.create(user_id=7)
    KillSwitch.objects.create(engaged_by="anna")
    SiteVisit.objects.create(user_id=7, source="ad")
    HourlyCount.objects.create(hour=now, actions=1)
    OutboxMessage.objects.create(topic="t", key="7", payload="{}", quarantined_at=now, error="x")
    create_key(name="shop", scopes=["actions:read"])


def status(client: Client, url: str) -> int:
    """The status of a page, in a transaction of its own: an error of PostgreSQL ends the one it happens in."""
    with transaction.atomic():
        answer = client.get(url)
        transaction.set_rollback(True)
    return answer.status_code


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_a_list_is_searched_and_filtered_by_anything(staff: Client, rows: None, model: type[Model]) -> None:
    """A list without search is shown as it is; PostgreSQL, unlike SQLite, refuses to compare text with NUL."""
    assert status(staff, f"{list_url(model)}?q=7") == 200
    texts = [field.name for field in model._meta.concrete_fields if isinstance(field, CharField | TextField)]
    assert {status(staff, f"{list_url(model)}?{name}=%00") for name in texts} <= FINE


@pytest.mark.long
@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_a_list_takes_any_query(staff: Client, rows: None, model: type[Model]) -> None:
    asked = {query: status(staff, f"{list_url(model)}?{query}") for query in QUERIES}
    assert {query: found for query, found in asked.items() if found not in FINE} == {}


@pytest.mark.parametrize("object_id", ["0", "x", "_00", "9" * 30])
def test_the_page_of_a_row_that_does_not_exist_leads_home(staff: Client, object_id: str) -> None:
    for model in admin.site._registry:
        assert status(staff, f"{list_url(model)}{object_id}/change/") in FINE, model


@pytest.mark.parametrize("query", ["from=x", "from=0001-01-01&to=9999-12-31", "from=2026-02-30", "to=%00", "from="])
def test_the_overview_takes_any_dates(staff: Client, query: str) -> None:
    assert status(staff, f"{reverse('admin:index')}?{query}") == 200


def test_the_search_for_a_user_page_takes_any_text(staff: Client) -> None:
    for text in ("", "0", "x", "%00", "9" * 30, "-7"):
        assert status(staff, f"{reverse('admin:find_user')}?user_id={text}") == 302
