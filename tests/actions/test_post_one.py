"""POST /api/actions with one action: the response, the stored row and the outbox row."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.utils import timezone

from actions.models import OutboxMessage, UserAction
from ccweb.api.event_ids import MAX_UUID, NIL_UUID
from ccweb.events.erasure import mark_erased
from tests.support.api_client import faults, get, post

pytestmark = pytest.mark.django_db
ID = "018f3c5e-7a10-7cc0-8000-00000000000a"


def test_an_action_is_stored_and_queued_with_what_the_client_sent() -> None:
    at = timezone.now() - timedelta(days=3)
    sent = {"user_id": 7, "action_type": "purchase", "value": 2.5, "action_timestamp": at.isoformat(), "event_id": ID}
    answer = post("actions", sent)
    assert answer.status_code == 201
    body = {
        "user_id": 7,
        "action_type": "purchase",
        "value": "2.50",
        "action_timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "event_id": ID,
    }
    assert answer.json() == body | {"order_id": None}
    row = UserAction.objects.get()
    assert (row.user_id, row.action_type, row.value, row.action_timestamp) == (7, "purchase", Decimal("2.50"), at)
    message = OutboxMessage.objects.get()
    assert (message.topic, message.key) == ("topic_user_actions", "7")
    assert json.loads(message.payload) == body
    assert message.headers["event_id"] == ID


def test_an_order_is_stored_answered_and_published() -> None:
    order = 'A-1001 / "é" \\'
    sent = {"user_id": 7, "action_type": "purchase", "order_id": order, "event_id": ID}
    assert post("actions", sent).json()["order_id"] == order
    assert UserAction.objects.get().order_id == order
    assert json.loads(OutboxMessage.objects.get().payload)["order_id"] == order
    assert get(f"actions/{ID}").json()["order_id"] == get("actions").json()["results"][0]["order_id"] == order
    assert post("actions", sent).status_code == 200
    assert post("actions", sent | {"order_id": "other"}).status_code == 409
    assert post("actions", sent | {"order_id": None}).status_code == 409


def test_a_null_order_is_none() -> None:
    sent = {"user_id": 7, "action_type": "purchase", "order_id": None, "event_id": ID}
    assert post("actions", sent).json()["order_id"] is None
    assert "order_id" not in json.loads(OutboxMessage.objects.get().payload)
    assert post("actions", sent).status_code == 200
    assert post("actions", sent | {"order_id": "A-1"}).status_code == 409


@pytest.mark.parametrize(
    ("order", "code"), [("", "length"), ("x" * 65, "length"), ("a\nb", "format"), ("a\u202eb", "format"), (7, "type")]
)
def test_an_order_is_1_to_64_printable_characters(order: object, code: str) -> None:
    assert faults(post("actions", {"user_id": 7, "action_type": "x", "order_id": order})) == {"/order_id": code}


def test_omitted_fields_get_their_defaults() -> None:
    before = timezone.now()
    body = post("actions", {"user_id": 7, "action_type": "login"}).json()
    assert body["value"] == "0.00"
    assert before <= datetime.fromisoformat(body["action_timestamp"]) <= timezone.now()
    assert UUID(body["event_id"]).version == 7


def test_a_retry_with_equal_values_replays_the_stored_answer() -> None:
    sent = {"user_id": 7, "action_type": "login", "value": 2.5, "event_id": ID}
    first = post("actions", sent | {"action_timestamp": timezone.now().isoformat()})
    at = datetime.fromisoformat(first.json()["action_timestamp"]).astimezone(UTC) + timedelta(hours=0)
    elsewhere = at.isoformat().replace("+00:00", "Z")
    again = post("actions", sent | {"value": "2.50", "action_timestamp": elsewhere})
    assert again.status_code == 200
    assert again["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert UserAction.objects.count() == OutboxMessage.objects.count() == 1


def test_fields_left_out_of_a_retry_are_not_compared() -> None:
    post("actions", {"user_id": 7, "action_type": "login", "value": 5, "event_id": ID})
    assert post("actions", {"user_id": 7, "action_type": "login", "event_id": ID}).status_code == 200


@pytest.mark.parametrize("other", [{"user_id": 8}, {"action_type": "logout"}, {"value": 6}])
def test_the_same_event_id_with_other_content_is_a_conflict(other: dict) -> None:
    sent = {"user_id": 7, "action_type": "login", "value": 5, "event_id": ID}
    post("actions", sent)
    answer = post("actions", sent | other)
    assert answer.status_code == 409
    assert answer["Content-Type"] == "application/problem+json"
    assert UserAction.objects.values("user_id", "action_type", "value").get() == {
        "user_id": 7,
        "action_type": "login",
        "value": Decimal(5),
    }
    assert OutboxMessage.objects.count() == 1


def test_an_action_of_an_erased_user_is_rejected() -> None:
    mark_erased(7)
    answer = post("actions", {"user_id": 7, "action_type": "login"})
    assert answer.status_code == 410
    assert not UserAction.objects.exists()
    assert not OutboxMessage.objects.exists()


INVALID = [
    ({}, {"/user_id": "required", "/action_type": "required"}),
    ({"user_id": "1"}, {"/user_id": "type"}),
    ({"user_id": 1.0}, {"/user_id": "type"}),
    ({"user_id": True}, {"/user_id": "type"}),
    ({"user_id": None}, {"/user_id": "type"}),
    ({"user_id": 0}, {"/user_id": "range"}),
    ({"user_id": -1}, {"/user_id": "range"}),
    ({"user_id": 2**63}, {"/user_id": "range"}),
    ({"action_type": ""}, {"/action_type": "format"}),
    ({"action_type": "login\n"}, {"/action_type": "format"}),
    ({"action_type": "1st"}, {"/action_type": "format"}),
    ({"action_type": "été"}, {"/action_type": "format"}),
    ({"action_type": "a" * 65}, {"/action_type": "format"}),
    ({"action_type": 5}, {"/action_type": "type"}),
    ({"action_type": ["login"]}, {"/action_type": "type"}),
    ({"value": 1.005}, {"/value": "places"}),
    ({"value": "1.005"}, {"/value": "type"}),
    ({"value": 10**10}, {"/value": "range"}),
    ({"value": -(10**10)}, {"/value": "range"}),
    ({"value": "NaN"}, {"/value": "type"}),
    ({"value": "1e30"}, {"/value": "type"}),
    ({"value": " 1"}, {"/value": "type"}),
    ({"value": "١"}, {"/value": "type"}),
    ({"value": True}, {"/value": "type"}),
    ({"value": None}, {"/value": "type"}),
    ({"action_timestamp": "2026-11-01T10:00:00"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "9998-01-01T00:00:00Z"}, {"/action_timestamp": "future"}),
    ({"action_timestamp": "2016-01-01T00:00:00Z"}, {"/action_timestamp": "old"}),
    ({"action_timestamp": "0000-01-01T00:00:00Z"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "0001-01-01T00:00:00+14:00"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "9999-12-31T23:59:59-14:00"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "2016-12-31T23:59:60Z"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "2026-01-01T00:00:00+05:75"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "2026-01-01T00:00:00+24:00"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "2026-01-01T24:00:00Z"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": "2026-01-01T24:00Z"}, {"/action_timestamp": "format"}),
    ({"action_timestamp": 1700000000}, {"/action_timestamp": "format"}),
    ({"event_id": "zz"}, {"/event_id": "format"}),
    ({"event_id": 5}, {"/event_id": "format"}),
    ({"event_id": None}, {"/event_id": "format"}),
    ({"event_id": str(NIL_UUID)}, {"/event_id": "format"}),
    ({"event_id": str(MAX_UUID).upper()}, {"/event_id": "format"}),
    ({"is_admin": True}, {"/is_admin": "unknown"}),
    ({"a/b~c": 1}, {"/a~1b~0c": "unknown"}),
    ({"user_id": "1", "is_admin": True}, {"/user_id": "type", "/is_admin": "unknown"}),
]


@pytest.mark.parametrize(("change", "expected"), INVALID)
def test_invalid_input_is_named_and_nothing_is_stored(change: dict, expected: dict) -> None:
    good = {"user_id": 7, "action_type": "login"} if change else {}
    assert faults(post("actions", good | change)) == expected
    assert not UserAction.objects.exists()
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("value", [0, -1, 2.5, "2.50", 9_999_999_999.99, "-9999999999.99", 1e2])
def test_values_on_the_edge_are_stored(value: float | str) -> None:
    answer = post("actions", {"user_id": 7, "action_type": "x", "value": value})
    assert answer.status_code == 201
    assert Decimal(answer.json()["value"]) == Decimal(str(value))


def test_a_posted_action_can_be_read() -> None:
    body = post("actions", {"user_id": 7, "action_type": "login"}).json()
    assert get(f"actions/{body['event_id']}").json() == body
    assert get("actions").json() == {"next": None, "previous": None, "results": [body]}


def test_an_event_id_in_capitals_is_the_same_one() -> None:
    body = post("actions", {"user_id": 7, "action_type": "login", "event_id": ID.upper()}).json()
    assert get(f"actions/{ID.upper()}").json() == get(f"actions/{ID}").json() == body


@pytest.mark.parametrize("event_id", [ID, "x", "7", "%00", "%FF", "a" * 500, "..;", f"{ID}0"])
def test_an_unknown_event_id_is_404(event_id: str) -> None:
    answer = get(f"actions/{event_id}")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
