"""export_user and erase_user: everything held about a user, and nothing afterwards."""

import json
import re
from collections.abc import Iterator
from io import StringIO

import pytest
import redis
from django.apps import apps
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, models

from actions.models import OutboxMessage, UserAction
from ccweb.privacy import STORES
from segments import streaks
from segments.models import RfmPolicy, RiskChange, SegmentChange, UserSegment
from segments.recommendations.risk_profiles import set_risk_profile
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.support.api_client import get, post
from visits.models import SiteVisit

ERASED, OTHER = 7_130_000_077, 7_130_000_099  # numbers that occur nowhere by chance
pytestmark = pytest.mark.django_db


@pytest.fixture
def two_users(redis_client: redis.Redis) -> None:
    """Two users with rows in every store."""
    for user_id in (ERASED, OTHER):
        for _ in range(3):
            post("actions", {"user_id": user_id, "action_type": "purchase", "value": 12})
        post("notify/site_visit", {"user_id": user_id, "source": "newsletter"})
        set_risk_profile(user_ids=[user_id], risk_profile="High-Risk", by="anna")
    compute_rfm_and_update_segments()
    staff = User.objects.create_user("anna")
    LogEntry.objects.log_actions(staff.pk, UserSegment.objects.filter(pk=ERASED), ADDITION, "risk", single_object=True)
    LogEntry.objects.log_actions(
        staff.pk, UserAction.objects.filter(user_id=ERASED)[:1], ADDITION, "added", single_object=True
    )


def run(command: str, user_id: int) -> str:
    out = StringIO()
    call_command(command, str(user_id), stdout=out, stderr=StringIO())
    return out.getvalue()


def dump(client: redis.Redis) -> Iterator[str]:
    """Every value of every table and of Redis, as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            yield from (f"{table}: {row}" for row in cursor.fetchall())
    yield from (f"redis: {key!r} {client.dump(key)!r}" for key in client.scan_iter())


def hits(client: redis.Redis, user_id: int) -> list[str]:
    return [line for line in dump(client) if str(user_id) in line]


def test_export_holds_every_store(two_users: None) -> None:
    data = json.loads(run("export_user", ERASED))
    assert {name: len(rows) for name, rows in data.items() if name != "user_id"} == {
        "actions": 3,
        "site_visits": 1,
        "segment": 1,
        "group_changes": 1,
        "risk_changes": 1,
        "messages_not_yet_delivered": 3,
        "streak": 1,
    }
    assert data["streak"] == [{"days": 1}]
    assert {row["user_id"] for row in data["actions"]} == {ERASED}


def test_export_of_an_unknown_user_is_empty_and_valid() -> None:
    data = json.loads(run("export_user", 5))
    assert data["actions"] == []


def test_erasure_leaves_no_trace_but_the_message_to_consumers(two_users: None, redis_client: redis.Redis) -> None:
    assert len(hits(redis_client, ERASED)) > 10, "the dump must see what it looks for"
    receipt = run("erase_user", ERASED)
    message = OutboxMessage.objects.get(topic="topic_user_erasures")
    assert (message.key, json.loads(message.payload)["user_id"]) == (str(ERASED), ERASED)
    message.delete()  # as the relay does
    assert hits(redis_client, ERASED) == []
    assert "actions 3" in receipt
    assert "site_visits 1" in receipt
    assert "staff_log 2" in receipt


def test_erasure_leaves_others_and_the_counts_of_history_alone(two_users: None, redis_client: redis.Redis) -> None:
    before = hits(redis_client, OTHER)
    run("erase_user", ERASED)
    assert hits(redis_client, OTHER) == before
    assert SegmentChange.objects.count() == RiskChange.objects.count() == 2
    assert RiskChange.objects.filter(user_id__lt=0).count() == 1


def test_later_events_of_an_erased_user_are_refused_everywhere(two_users: None) -> None:
    run("erase_user", ERASED)
    assert post("actions", {"user_id": ERASED, "action_type": "login"}).status_code == 410
    assert post("notify/site_visit", {"user_id": ERASED, "source": "ad"}).status_code == 410
    assert get(f"user-segments/{ERASED}").status_code == 404
    compute_rfm_and_update_segments()
    assert not UserSegment.objects.filter(pk=ERASED).exists()
    assert not SiteVisit.objects.filter(user_id=ERASED).exists()


def test_a_hundred_of_a_thousand_users_leave_no_trace(redis_client: redis.Redis) -> None:
    users = range(7_130_000_000, 7_130_001_000)
    for part in (users[:500], users[500:]):
        actions = [{"user_id": user_id, "action_type": "purchase", "value": 12} for user_id in part for _ in range(2)]
        assert post("actions", actions).json()["accepted"] == 1000
    for user_id in users[::10]:
        post("notify/site_visit", {"user_id": user_id, "source": "newsletter"})
    set_risk_profile(user_ids=list(users), risk_profile="High-Risk", by="anna")
    compute_rfm_and_update_segments()
    erased = {str(user_id) for user_id in users[::10]}
    assert mentioned(redis_client) == {str(user_id) for user_id in users}, "the dump must see what it looks for"
    for user_id in erased:
        run("erase_user", int(user_id))
    OutboxMessage.objects.filter(topic="topic_user_erasures").delete()  # as the relay does
    assert mentioned(redis_client) == {str(user_id) for user_id in users} - erased


def mentioned(client: redis.Redis) -> set[str]:
    """The users of that test that any store still names."""
    return set(re.findall(r"7130000\d{3}", " ".join(dump(client))))


@pytest.mark.parametrize(
    ("text", "afterwards"),
    [
        ("Risk profile High-Risk for 7 of 7 users: [7, 17, 70, 7].", "for 7 of 7 users: [(erased), 17, 70, (erased)]."),
        ("Segments exported, filter q=7.", "Segments exported, filter q=(erased)."),
        ("filter user_id__in=17%2C7&last_action_at=2026-7-7.", "user_id__in=17%2C(erased)&last_action_at=2026-7-7."),
        ("Segments exported, filter q=%207.", "filter q=%20(erased)."),
    ],
)
def test_the_staff_log_keeps_its_entry_without_the_users_id(
    redis_client: redis.Redis, text: str, afterwards: str
) -> None:
    staff = User.objects.create_user("anna")
    UserSegment.objects.create(user_id=8)
    entry = LogEntry.objects.log_actions(staff.pk, UserSegment.objects.filter(pk=8), CHANGE, text, single_object=True)
    assert "staff_log 1" in run("erase_user", 7)
    left = LogEntry.objects.get(pk=entry.pk)
    assert left.change_message.endswith(afterwards)
    assert (left.user, left.object_id, left.action_time) == (staff, "8", entry.action_time)
    assert "staff_log 0" in run("erase_user", 7)


def test_erasing_a_user_leaves_other_numbers_in_the_staff_log_alone(redis_client: redis.Redis) -> None:
    staff, policy = User.objects.create_user("anna"), RfmPolicy.objects.filter(revision=1)
    LogEntry.objects.log_actions(staff.pk, policy, CHANGE, "Revision 1 is active.", single_object=True)
    UserSegment.objects.create(user_id=1)
    assert "staff_log 0" in run("erase_user", 1)
    assert LogEntry.objects.get().change_message == "Revision 1 is active."


def test_a_rebuild_of_the_streaks_does_not_bring_a_user_back_who_is_erased_meanwhile(
    redis_client: redis.Redis,
) -> None:
    users = range(ERASED - 300, ERASED + 1)  # two steps of the rebuild, the last user in the second one
    post("actions", [{"user_id": user_id, "action_type": "login"} for user_id in users])
    steps: list[int] = []

    def erase_after_the_first_step(written: int) -> None:
        steps.append(written)
        if len(steps) == 1:
            run("erase_user", ERASED)

    streaks.rebuild(report=erase_after_the_first_step)
    OutboxMessage.objects.all().delete()
    assert len(steps) == 2
    assert hits(redis_client, ERASED) == []
    assert redis_client.get(f"user:{ERASED - 1}:streak_count") == b"1"


def test_erasing_twice_is_harmless_and_tells_consumers_once(two_users: None) -> None:
    run("erase_user", ERASED)
    run("erase_user", ERASED)
    assert OutboxMessage.objects.filter(topic="topic_user_erasures").count() == 1


@pytest.mark.parametrize("user_id", ["0", "-1", "abc", str(2**63), "9" * 5000])
def test_what_is_no_user_id_is_refused(user_id: str) -> None:
    with pytest.raises(CommandError):
        call_command("erase_user", "--", user_id)


def test_every_table_with_a_user_is_in_the_map() -> None:
    """A field named user_id that is a plain number holds the web application's users."""
    holders = {
        model
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.attname == "user_id" and not isinstance(field, models.ForeignKey)
    }
    assert holders == {store.model for store in STORES.values()}
