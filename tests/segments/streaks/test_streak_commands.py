"""manage.py rebuild_streaks and explain_user."""

import pytest
import redis
from django.core.management import CommandError, call_command

from actions.recording import record_actions
from segments.models import RiskProfile, UserSegment
from segments.streaks import RebuildFailed, rebuild, store
from tests.segments.acting import days_ago, kept
from tests.support.api_client import get

pytestmark = pytest.mark.django_db(transaction=True)


def record(user_id: int, *days: int) -> None:
    actions = [{"user_id": user_id, "action_type": "x", "action_timestamp": days_ago(day)} for day in days]
    record_actions(actions=actions)


def test_rebuild_streaks_restores_what_lives_and_deletes_nothing(
    redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]
) -> None:
    record(7, 0, 1, 2)
    record(8, 1, 2)
    record(9, 2, 3)
    redis_client.flushdb()
    redis_client.set("user:9:streak_count", 50)
    redis_client.set("user:10:streak_count", 60)
    call_command("rebuild_streaks")
    assert [kept(redis_client, user) for user in (7, 8, 9, 10)] == [3, 2, 50, 60]
    assert capsys.readouterr().out.startswith("rebuild_streaks: 2 streaks written in ")
    assert store.is_complete()


def test_a_rebuild_beside_another_says_so(redis_client: redis.Redis) -> None:
    redis_client.set(store.REBUILDING, "other")
    with pytest.raises(CommandError, match="another rebuild is in progress"):
        call_command("rebuild_streaks")


def test_a_rebuild_during_which_redis_is_emptied_does_not_claim_to_be_complete(redis_client: redis.Redis) -> None:
    record(7, 0)
    with pytest.raises(RebuildFailed, match="Redis lost data during the rebuild"):
        rebuild(report=lambda written: redis_client.flushdb())
    assert not store.is_complete()


def test_explain_user_says_the_same_as_the_api(redis_client: redis.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    UserSegment.objects.create(user_id=7, rfm_group="Whale", risk_profile=RiskProfile.HIGH)
    record(7, 0, 1)
    call_command("explain_user", "7")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "user 7: Whale, High-Risk, a streak of 2 days",
        f"probability: {get('user-segments/7/recommendation').json()['reason']}",
        "explain_user: 0.7700 next 2 hours, by policy revision 1",
    ]


@pytest.mark.parametrize("user_id", ["0", "x", str(2**63)])
def test_explain_user_refuses_what_is_no_user_id(user_id: str) -> None:
    with pytest.raises(CommandError, match="a whole number from 1 to"):
        call_command("explain_user", user_id)
