"""The texts of the admin: plurals, and words for every case."""

from datetime import timedelta
from decimal import Decimal

import pytest
import redis
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from actions.models import OutboxMessage, UserAction
from ccweb.api.models import create_key
from ccweb.staff.overview import parts
from segments.models import RfmPolicy, RfmRun
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.support.pytest_plugin import CLOSED

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    return client


def act(user_id: int, *, times: int, value: int = 0, days_ago: float = 1) -> None:
    at = timezone.now() - timedelta(days=days_ago)
    UserAction.objects.bulk_create(
        UserAction(user_id=user_id, action_type="x", value=Decimal(value), action_timestamp=at) for _ in range(times)
    )


def text_of(client: Client, name: str, *arguments: object) -> str:
    """A page of the admin, with single blanks."""
    return " ".join(client.get(reverse(f"admin:{name}", args=arguments)).content.decode().split())


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model._meta.label_lower)
def test_many_rows_have_a_plural_of_their_own(model: type[Model]) -> None:
    assert model._meta.verbose_name != model._meta.verbose_name_plural


def test_one_is_singular_and_two_are_plural(staff: Client) -> None:
    for count, text in ((1, "1 message is queued"), (2, "2 messages are queued")):
        rows = [
            OutboxMessage.objects.create(topic="t", key="7", payload="{}", quarantined_at=timezone.now())
            for _ in range(count)
        ]
        data = {"action": "resend", "_selected_action": [row.pk for row in rows]}
        assert text in staff.post(reverse("admin:actions_outboxmessage_changelist"), data, follow=True).content.decode()
    keys = [create_key(name="shop", scopes=["actions:read"])[0].pk]
    data = {"action": "revoke", "_selected_action": keys}
    page = staff.post(reverse("admin:api_apikey_changelist"), data, follow=True).content.decode()
    assert "1 API key was revoked." in page


def test_cut_points_of_one_are_singular(staff: Client, redis_client: redis.Redis) -> None:
    active = RfmPolicy.objects.active()
    cuts = {"recency_cuts": [2, 2, 1, 1], "frequency_cuts": [1, 1, 2, 2], "monetary_cuts": active.monetary_cuts}
    publish_rfm_policy(kind="fixed", rules=active.rules, **cuts)
    act(7, times=1)
    compute_rfm_and_update_segments()
    page = text_of(staff, "user", 7)
    assert "at least 1 action<" in page
    assert "at least 2 actions<" in page
    assert "at most 1 day ago<" in page


@pytest.mark.parametrize(
    ("times", "value", "days_ago", "expected"),
    [
        (1, 0, 1, "The user is in this group in seven days without further actions."),
        (12, 10, 1, "This is the highest group."),
        (3, 10, 1, "To reach the next higher group, the user needs 7 more actions with a value of 70.00 in total."),
        (12, 10, 25, "To be in this group in seven days, the user needs "),
    ],
)
def test_the_outlook_has_a_sentence_for_each_case(
    staff: Client, redis_client: redis.Redis, times: int, value: int, days_ago: float, expected: str
) -> None:
    act(7, times=times, value=value, days_ago=days_ago)
    assert expected in text_of(staff, "user", 7)


def test_the_last_run_is_told_in_a_sentence(staff: Client, redis_client: redis.Redis) -> None:
    act(7, times=12, value=10)
    act(8, times=1)
    compute_rfm_and_update_segments(kind=RfmRun.Kind.STARTUP)
    page = text_of(staff, "index")
    assert "Start-up run</a> finished " in page
    assert "0 minutes ago" not in page
    assert ": 2 users updated, 1 changed group" in page


def test_a_part_that_does_not_answer_is_unreachable(settings: Settings) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": f"redis://{CLOSED}/0"}}
    texts = {part["name"]: part["text"] for part in parts()}
    assert texts["Relay"] == "No relay running"
    assert texts["Redis"].startswith("Unreachable (")


def test_the_groups_of_the_filter_have_their_own_names(staff: Client) -> None:
    page = text_of(staff, "segments_usersegment_changelist")
    assert ">Medium</a>" in page
    assert "Mediums" not in page
