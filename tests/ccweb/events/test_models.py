"""Events that are saved as models, in the admin or the shell, obey the rules of the API."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from actions.models import OutboxMessage, UserAction
from ccweb.events.erasure import UserErased, mark_erased
from ccweb.privacy import erase_user
from segments.models import UserSegment
from segments.recommendations.risk_profiles import set_risk_profile
from visits.models import SiteVisit

ADD = "admin:actions_useraction_add"


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    return client


def form(**fields: Any) -> dict[str, Any]:
    at = fields.pop("at", timezone.now())
    times = {"action_timestamp_0": at.strftime("%Y-%m-%d"), "action_timestamp_1": at.strftime("%H:%M:%S")}
    event_id = "018f3c5e-7a10-7cc0-8000-00000000000a"
    return {"user_id": 7, "action_type": "bet", "value": "1.00", "event_id": event_id, **times, **fields}


def test_staff_add_an_action_of_now(staff: Client) -> None:
    assert staff.post(reverse(ADD), form()).status_code == 302
    assert (UserAction.objects.get().user_id, OutboxMessage.objects.get().key) == (7, "7")


def test_adding_an_action_of_an_erased_user_is_a_field_error(staff: Client) -> None:
    mark_erased(7)
    answer = staff.post(reverse(ADD), form())
    assert answer.status_code == 200
    assert "data was erased" in answer.context["errors"][0][0]
    assert "user_id" in answer.context["adminform"].form.errors
    assert not UserAction.objects.exists()
    assert not OutboxMessage.objects.exists()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(("days", "why"), [(-401, "older than 400 days"), (1, "in the future")])
def test_adding_an_action_that_the_api_would_refuse_for_its_time_is_a_field_error(
    staff: Client, days: int, why: str
) -> None:
    answer = staff.post(reverse(ADD), form(at=timezone.now() + timedelta(days=days)))
    assert why in answer.context["adminform"].form.errors["action_timestamp"][0]
    assert not UserAction.objects.exists()


def test_a_form_without_a_user_or_a_time_has_their_errors_only(staff: Client) -> None:
    answer = staff.post(reverse(ADD), form(user_id="", action_timestamp_0=""))
    assert set(answer.context["adminform"].form.errors) == {"user_id", "action_timestamp"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "event", [UserAction(action_type="bet"), SiteVisit(source="ad")], ids=lambda e: type(e).__name__
)
def test_a_model_is_saved_under_the_same_rules(event: UserAction | SiteVisit) -> None:
    mark_erased(8)
    now, fields = (
        timezone.now(),
        {name: getattr(event, name) for name in ("action_type", "source") if hasattr(event, name)},
    )
    wrong: list[dict[str, Any]] = [
        {"user_id": 8},
        {"user_id": 0},
        {"user_id": 7, event.TIME: now + timedelta(hours=1)},
        {"user_id": 7, event.TIME: now - timedelta(days=401)},
    ]
    for more in wrong:
        with pytest.raises(ValidationError):
            type(event).objects.create(**fields, **more)
    type(event).objects.create(user_id=7, **fields)
    with pytest.raises(ValidationError, match="never changed"):
        type(event).objects.get().save()


@pytest.mark.django_db
def test_many_models_with_an_erased_user_among_them_are_refused_as_a_whole() -> None:
    mark_erased(8)
    with pytest.raises(UserErased):
        SiteVisit.objects.bulk_create(SiteVisit(user_id=user, source="ad") for user in (7, 8))
    assert not SiteVisit.objects.exists()


@pytest.fixture
def erasure() -> Iterator[threading.Thread]:
    """An erasure of user 7 in a connection of its own, to be started."""

    def erase() -> None:
        erase_user(7)
        connection.close()

    thread = threading.Thread(target=erase)
    yield thread
    if thread.ident:
        thread.join(30)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("write", ["action", "risk profile"])
def test_an_erasure_waits_for_a_writer_that_has_found_the_user_not_erased(
    redis_client: Any, erasure: threading.Thread, write: str
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has a single writer")
    with transaction.atomic():
        if write == "action":
            UserAction(user_id=7, action_type="bet").full_clean()
        else:
            set_risk_profile(user_ids=[7], risk_profile="High-Risk", by="anna")
        erasure.start()
        erasure.join(1.0)
        assert erasure.is_alive(), "the erasure did not wait"
        if write == "action":
            UserAction(user_id=7, action_type="bet").save()
    erasure.join(30)
    assert not erasure.is_alive()
    assert not UserAction.objects.filter(user_id=7).exists()
    assert not UserSegment.objects.filter(user_id=7).exists()
    with pytest.raises(ValidationError):
        UserAction(user_id=7, action_type="bet").save()
    assert set_risk_profile(user_ids=[7, 8], risk_profile="High-Risk", by="anna") == (1, {7})
