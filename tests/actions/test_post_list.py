"""POST /api/actions with a list: a verdict for every item, independent of the others."""

import gc
from typing import Any

import pytest
import redis
from django.db import OperationalError, connection
from rest_framework.request import Request

from actions.models import OutboxMessage, UserAction
from ccweb.api.event_ids import MAX_UUID, NIL_UUID
from ccweb.events.erasure import mark_erased
from tests.support.api_client import faults, post

pytestmark = pytest.mark.django_db
ID = "018f3c5e-7a10-7cc0-8000-00000000000a"


def action(user_id: int, **more: object) -> dict:
    return {"user_id": user_id, "action_type": "login"} | more


def test_a_valid_list_is_stored_and_queued_in_its_order() -> None:
    answer = post("actions", [action(user) for user in (5, 3, 9, 3)])
    assert answer.status_code == 201
    body = answer.json()
    assert (body["accepted"], body["duplicates"], body["refused"]) == (4, 0, 0)
    assert [item["index"] for item in body["items"]] == [0, 1, 2, 3]
    assert list(UserAction.objects.order_by("id").values_list("user_id", flat=True)) == [5, 3, 9, 3]
    assert list(OutboxMessage.objects.order_by("id").values_list("key", flat=True)) == ["5", "3", "9", "3"]


@pytest.mark.parametrize("size", [2, 40])
def test_nothing_of_an_erased_user_is_stored_or_queued(size: int) -> None:
    """With the statements for few and for many events, whose ids the server generated."""
    mark_erased(1)
    body = post("actions", [action(user) for user in range(1, size + 1)]).json()
    assert [item["status"] for item in body["items"]] == ["erased", *["accepted"] * (size - 1)]
    expected = list(range(2, size + 1))
    assert list(UserAction.objects.order_by("id").values_list("user_id", flat=True)) == expected
    assert [int(key) for key in OutboxMessage.objects.order_by("id").values_list("key", flat=True)] == expected


def test_an_invalid_item_does_not_affect_the_others() -> None:
    mark_erased(4)
    post("actions", action(2, event_id=ID))
    items = [action(1), {"user_id": "1"}, 3, action(3, event_id=ID), action(2, event_id=ID), action(4), action(5)]
    answer = post("actions", items)
    assert answer.status_code == 207
    body = answer.json()
    statuses = ["accepted", "invalid", "invalid", "conflict", "duplicate", "erased", "accepted"]
    assert [item["status"] for item in body["items"]] == statuses
    assert (body["accepted"], body["duplicates"], body["refused"]) == (2, 1, 4)
    assert body["items"][1]["errors"][0]["pointer"] == "/user_id"
    assert sorted(UserAction.objects.values_list("user_id", flat=True)) == [1, 2, 5]


def test_purchases_of_a_client_that_never_sets_event_id_are_refused_one_by_one() -> None:
    items = [action(1), action(2, event_id=str(NIL_UUID)), action(3, event_id=str(MAX_UUID).upper())]
    body = post("actions", items).json()
    assert [item["status"] for item in body["items"]] == ["accepted", "invalid", "invalid"]
    assert {item["errors"][0]["pointer"] for item in body["items"][1:]} == {"/event_id"}
    assert "identify no event" in body["items"][1]["errors"][0]["detail"]


def test_a_list_that_holds_an_action_twice_stores_it_once() -> None:
    answer = post("actions", [action(1, event_id=ID), action(1, event_id=ID), action(2, event_id=ID)])
    assert [item["status"] for item in answer.json()["items"]] == ["accepted", "duplicate", "conflict"]
    assert UserAction.objects.get().user_id == 1
    assert OutboxMessage.objects.count() == 1


def test_a_repeated_list_is_all_duplicates() -> None:
    ids = [f"018f3c5e-7a10-7cc0-8000-{n:012d}" for n in range(50)]
    items = [action(n + 1, event_id=event_id) for n, event_id in enumerate(ids)]
    post("actions", items)
    answer = post("actions", items)
    assert answer.status_code == 201
    assert answer.json()["duplicates"] == 50
    assert UserAction.objects.count() == OutboxMessage.objects.count() == 50


def test_another_user_may_use_the_event_id_of_an_erased_user_in_the_same_list() -> None:
    mark_erased(4)
    answer = post("actions", [action(4, event_id=ID), action(5, event_id=ID), action(6)])
    assert [item["status"] for item in answer.json()["items"]] == ["erased", "accepted", "accepted"]
    assert list(UserAction.objects.order_by("user_id").values_list("user_id", flat=True)) == [5, 6]
    assert OutboxMessage.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_stored_action_counts_for_the_streak_though_the_response_is_an_error(redis_client: redis.Redis) -> None:
    post("actions", action(2, event_id=ID))

    def fail_to_read(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("SELECT") and "user_actions" in sql and "event_id" in sql:
            raise OperationalError("the server closed the connection unexpectedly")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail_to_read):
        assert post("actions", [action(2, event_id=ID), action(3)]).status_code == 503
    assert UserAction.objects.filter(user_id=3).exists()
    assert redis_client.get("user:3:streak_count") == b"1"


def requests() -> set[int]:
    """Those in memory: the description of the API, once it is made, keeps some."""
    return {id(found) for found in gc.get_objects() if type(found) is Request}


def test_a_list_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        before = requests()
        post("actions", [action(n) for n in range(1, 101)])
        assert requests() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("size", [0, 1001])
def test_a_list_has_1_to_1000_items(size: int) -> None:
    assert faults(post("actions", [action(1)] * size)) == {"": "length"}
    assert not UserAction.objects.exists()


def test_a_list_of_1000_is_stored_whole() -> None:
    assert post("actions", [action(n) for n in range(1, 1001)]).json()["accepted"] == 1000
    assert UserAction.objects.count() == OutboxMessage.objects.count() == 1000


def test_items_with_and_without_an_order_are_stored_together() -> None:
    sent = [action(1, order_id="A-1"), action(1, order_id="A-1"), action(1), action(2, order_id=None)]
    body = post("actions", sent).json()
    assert body["accepted"] == 4
    orders = UserAction.objects.order_by("id").values_list("order_id", flat=True)
    assert list(orders) == ["A-1", "A-1", None, None]
