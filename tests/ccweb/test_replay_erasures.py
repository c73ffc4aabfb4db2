"""manage.py replay_erasures and export_erasures: receipts outside the database bring an erasure back, not the user."""

import io
import json
from pathlib import Path

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from actions.models import OutboxMessage, UserAction
from ccweb.api.models import DatabaseRecord, ErasedUser
from ccweb.api.restored import RestoredDatabase, adopt_new, refuse_restored
from ccweb.db.identity import database_identity
from ccweb.events.erasure import token_of
from ccweb.privacy import STORES
from segments.recommendations.risk_profiles import set_risk_profile
from tests.support.api_client import post
from tests.support.pytest_plugin import CLOSED

pytestmark = pytest.mark.django_db


def call(command: str, *arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(command, *arguments, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


@pytest.fixture
def receipts(redis_client: redis.Redis, tmp_path: Path) -> Path:
    """The receipts of users 7 and 8, whose erasures a restore has undone; user 7 is there again, and so is user 9."""
    for user_id in (7, 8):
        post("actions", {"user_id": user_id, "action_type": "login"})
        call("erase_user", str(user_id))
    assert call("export_erasures", str(tmp_path / "receipts"))[1].startswith("export_erasures: 2 receipts written to")
    ErasedUser.objects.all().delete()
    OutboxMessage.objects.all().delete()
    for user_id in (7, 9):
        post("actions", {"user_id": user_id, "action_type": "login"})
        post("notify/site_visit", {"user_id": user_id, "source": "ad"})
        set_risk_profile(user_ids=[user_id], risk_profile="High-Risk", by="anna")
        redis_client.set(f"user:{user_id}:streak_count", 1)
    return tmp_path / "receipts"


def users_in_all_stores() -> set[int]:
    return {
        user for store in STORES.values() for user in store.model._default_manager.values_list("user_id", flat=True)
    }


def test_users_whom_a_restore_brought_back_are_erased_again(receipts: Path, redis_client: redis.Redis) -> None:
    out, _ = call("replay_erasures", str(receipts))
    assert out.startswith("replay_erasures: 2 receipts, 0 already known, 1 users found again and erased (actions 1, ")
    assert {user for user in users_in_all_stores() if user > 0} == {9}
    assert redis_client.get("user:7:streak_count") is None
    assert redis_client.get("user:9:streak_count") == b"1"
    assert {message.key for message in OutboxMessage.objects.filter(topic="topic_user_actions")} == {"9"}
    for user_id in (7, 8):  # user 8 is not there, and still may not come back
        assert post("actions", {"user_id": user_id, "action_type": "login"}).status_code == 410


def test_a_second_replay_changes_nothing(receipts: Path) -> None:
    call("replay_erasures", str(receipts))
    stored = list(ErasedUser.objects.order_by("token").values())
    out, _ = call("replay_erasures", str(receipts))
    assert out == "replay_erasures: 2 receipts, 2 already known, 0 users found again and erased"
    assert list(ErasedUser.objects.order_by("token").values()) == stored


def test_a_receipt_names_nobody(redis_client: redis.Redis) -> None:
    post("actions", {"user_id": 7_130_000_077, "action_type": "login"})
    call("erase_user", "7130000077")
    message = OutboxMessage.objects.get(topic="erasures")
    assert message.key == token_of(7_130_000_077)
    assert json.loads(message.payload)["counts"]["actions"] == 1
    assert "7130000077" not in f"{message.payload}{message.headers}"


def test_receipts_are_published_again_on_request(receipts: Path) -> None:
    call("replay_erasures", str(receipts))
    OutboxMessage.objects.all().delete()
    assert call("export_erasures", "--to-kafka")[1] == "export_erasures: 2 receipts queued for Kafka"
    assert {message.key for message in OutboxMessage.objects.all()} == {token_of(7), token_of(8)}


@pytest.mark.parametrize(
    ("content", "why"),
    [("{", "line 1"), ('{"token": "x"}', "it is not the receipt"), ("7\n", "it is not the receipt")],
)
def test_a_file_that_holds_something_else_is_refused_and_nothing_is_done(
    receipts: Path, tmp_path: Path, content: str, why: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(receipts.read_text() + content if why == "it is not the receipt" else content)
    with pytest.raises(CommandError, match=why):
        call("replay_erasures", str(wrong))
    assert not ErasedUser.objects.exists()


def test_receipts_of_another_key_are_refused_because_nobody_would_be_found(receipts: Path, settings: Settings) -> None:
    settings.ERASURE_KEY = "another one"
    token_of.cache_clear()
    try:
        with pytest.raises(CommandError, match="2 receipts were made with another ERASURE_KEY"):
            call("replay_erasures", str(receipts))
    finally:
        token_of.cache_clear()
    assert UserAction.objects.filter(user_id=7).exists()


def test_a_replay_needs_exactly_one_source() -> None:
    for arguments in ([], ["file", "--from-kafka"], ["--from-kafka", "--waive", "x"]):
        with pytest.raises(CommandError, match="required|not allowed"):
            call("replay_erasures", *arguments)


def test_a_silent_kafka_and_a_missing_file_are_named(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr("actions.kafka.topic_reader.SILENCE_SECONDS", 0.5)
    settings.KAFKA_BROKER = CLOSED
    with pytest.raises(CommandError, match="nothing was replayed: Kafka does not answer"):
        call("replay_erasures", "--from-kafka")
    with pytest.raises(CommandError, match="No such file"):
        call("replay_erasures", "no.such.file")


@pytest.fixture
def restored(redis_client: redis.Redis) -> None:
    """A database with a user that was recorded under another identity, as a restored dump is."""
    if connection.vendor != "postgresql":
        pytest.skip("only databases of PostgreSQL are recognised: --database postgresql")
    post("actions", {"user_id": 7, "action_type": "login"})
    DatabaseRecord.objects.create(identity="1-1", how="new")


@pytest.mark.django_db(transaction=True)  # the commands close their connections
@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("command", ["relay_actions", "run_scheduler"])
def test_a_process_refuses_to_start_on_a_restored_database(command: str) -> None:
    with pytest.raises(CommandError, match=r"restored copy of another one \(1-1\).*replay_erasures --from-kafka"):
        call(command)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("way", ["replayed", "waived"])
def test_a_restored_database_is_accepted_once_erasures_were_replayed_or_that_was_waived(
    tmp_path: Path, way: str
) -> None:
    (tmp_path / "none").touch()
    call("replay_erasures", str(tmp_path / "none")) if way == "replayed" else call(
        "replay_erasures", "--waive", "a test"
    )
    refuse_restored()
    newest = DatabaseRecord.objects.latest("id")
    assert (newest.how, bool(newest.note)) == (way, True)


@pytest.mark.usefixtures("restored")
def test_a_restored_database_without_users_is_a_new_one() -> None:
    UserAction.objects.all().delete()
    with pytest.raises(RestoredDatabase):  # the segment of a user is one, too
        set_risk_profile(user_ids=[7], risk_profile="High-Risk", by="anna")
        refuse_restored()
    STORES["segment"].model._default_manager.all().delete()
    STORES["risk_changes"].model._default_manager.all().delete()
    refuse_restored()


def test_migrate_has_recorded_which_database_this_is() -> None:
    before = list(DatabaseRecord.objects.values_list("identity", flat=True))
    adopt_new()
    assert list(DatabaseRecord.objects.values_list("identity", flat=True)) == before
    assert before[:1] == ([database_identity()] if connection.vendor == "postgresql" else [])
