"""Permissions by role x page x method; no role edits or deletes what the system wrote."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from actions.models import OutboxMessage, UserAction
from ccweb.api.event_ids import NIL_UUID
from segments.models import RfmRun, UserSegment

pytestmark = pytest.mark.django_db
ROLES = ("viewer", "analyst", "operator")
VIEWED = [
    "actions_useraction",
    "actions_outboxmessage",
    "actions_hourlycount",
    "visits_sitevisit",
    "segments_usersegment",
    "segments_segmentchange",
    "segments_riskchange",
    "segments_rfmrun",
    "segments_rfmpolicy",
    "segments_recommendationpolicy",
    "segments_killswitch",
    "django_apscheduler_djangojob",
    "django_apscheduler_djangojobexecution",
]
MAY_ADD = {
    "actions_useraction": {"operator"},
    "segments_rfmpolicy": {"analyst"},
    "segments_recommendationpolicy": {"analyst"},
    "segments_killswitch": {"analyst", "operator"},
}
HIDDEN = ["api_apikey", "auth_user", "auth_group"]


def sign_in(role: str) -> Client:
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("table", VIEWED)
def test_every_role_sees_every_list(role: str, table: str) -> None:
    assert sign_in(role).get(reverse(f"admin:{table}_changelist")).status_code == 200


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("table", HIDDEN)
def test_keys_and_accounts_are_the_superusers(role: str, table: str) -> None:
    assert sign_in(role).get(reverse(f"admin:{table}_changelist")).status_code == 403


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("table", VIEWED)
def test_only_the_right_role_adds(role: str, table: str) -> None:
    expected = 200 if role in MAY_ADD.get(table, set()) else 403
    assert sign_in(role).get(reverse(f"admin:{table}_add")).status_code == expected


@pytest.mark.parametrize("role", [*ROLES, "superuser"])
@pytest.mark.parametrize("method", ["delete", "change"])
def test_no_role_edits_or_deletes_an_action_a_message_or_a_run(role: str, method: str) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root")) if role == "superuser" else None
    client = client if role == "superuser" else sign_in(role)
    action = UserAction.objects.create(user_id=7, action_type="x")
    run = RfmRun.objects.create(kind="manual", as_of=timezone.now())
    for row in (action, OutboxMessage.objects.get(), run):
        url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{method}", args=[row.pk])
        assert client.post(url, {"post": "yes", "user_id": 8, "status": "done"}).status_code == 403
        row.refresh_from_db()
    assert UserAction.objects.get().user_id == 7


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("analyst", 302), ("operator", 302)])
def test_who_may_request_a_run(role: str, status: int) -> None:
    assert sign_in(role).post(reverse("admin:segments_rfmrun_now")).status_code == status
    assert RfmRun.objects.exists() == (status == 302)


@pytest.mark.parametrize(
    ("role", "profile"), [("viewer", "Unknown"), ("analyst", "High-Risk"), ("operator", "Unknown")]
)
def test_who_may_set_a_risk_profile(role: str, profile: str) -> None:
    UserSegment.objects.create(user_id=7)
    client = sign_in(role)
    client.post(reverse("admin:segments_usersegment_change", args=[7]), {"risk_profile": "High-Risk"})
    client.post(reverse("admin:segments_usersegment_changelist"), {"action": "set_high", "_selected_action": ["7"]})
    assert UserSegment.objects.get().risk_profile == profile


@pytest.mark.parametrize("role", ROLES)
def test_who_may_resend_a_quarantined_message(role: str) -> None:
    row = OutboxMessage.objects.create(
        topic="t", key="7", payload="{}", quarantined_at=timezone.now(), error="too large"
    )
    client = sign_in(role)
    client.post(
        reverse("admin:actions_outboxmessage_changelist"), {"action": "resend", "_selected_action": [str(row.pk)]}
    )
    row.refresh_from_db()
    assert (row.quarantined_at is None) == (role == "operator")
    assert LogEntry.objects.exists() == (role == "operator")


REFUND = {
    "user_id": "7",
    "action_type": "refund",
    "value": "-5.00",
    "event_id": "018f3c5e-7a10-7cc0-8000-00000000000a",
    "action_timestamp_0": "2026-01-31",
    "action_timestamp_1": "12:00:00",
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_id": str(NIL_UUID)}, "event_id"),
        ({"event_id": "f" * 32}, "event_id"),
        ({"action_timestamp_1": "24:00:00"}, "action_timestamp"),
        ({"action_timestamp_1": "12:00:60"}, "action_timestamp"),
        ({"action_timestamp_1": "12:00:00+05:75"}, "action_timestamp"),
    ],
)
def test_an_action_that_the_api_would_refuse_is_an_error_of_the_form(change: dict, field: str) -> None:
    answer = sign_in("operator").post(reverse("admin:actions_useraction_add"), REFUND | change)
    assert list(answer.context["adminform"].form.errors) == [field]
    assert not UserAction.objects.exists()


def test_an_operators_action_is_stored_published_and_traced() -> None:
    client = sign_in("operator")
    assert client.post(reverse("admin:actions_useraction_add"), REFUND).status_code == 302
    assert UserAction.objects.get().action_type == "refund"
    assert OutboxMessage.objects.get().key == "7"
    assert LogEntry.objects.get().user.username == "operator"


def test_the_schedulers_own_run_now_is_gone() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    page = client.get(reverse("admin:django_apscheduler_djangojob_changelist")).content.decode()
    assert "run_selected_jobs" not in page


def test_every_table_that_the_admin_shows_is_in_this_matrix() -> None:
    shown = {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}
    assert shown == set(VIEWED) | set(HIDDEN)
