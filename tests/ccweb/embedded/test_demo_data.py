"""What an empty embedded system is given."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.test import Client

from actions.models import OutboxMessage, UserAction
from ccweb.embedded.demo_data import admin_password, load_demo
from segments.models import UserSegment
from segments.rfm.runs import compute_rfm_and_update_segments

pytestmark = pytest.mark.django_db
GOLDEN = {"Whale": 1, "Medium": 30, "Low": 2326}


def test_the_demo_has_the_golden_groups_at_every_time_of_its_last_day() -> None:
    run = load_demo()
    assert run is not None
    assert run.groups == GOLDEN
    assert (UserAction.objects.count(), OutboxMessage.objects.count()) == (3283, 0)
    today = datetime.now(UTC).date()
    assert UserAction.objects.latest("action_timestamp").action_timestamp == datetime.combine(today, time(), UTC)
    for moment in (time(0, 0, 1), time(2), time(12, 34, 56), time(23, 59, 59, 999_999)):
        assert compute_rfm_and_update_segments(as_of=datetime.combine(today, moment, UTC)).groups == GOLDEN


def test_the_demo_is_loaded_into_an_empty_database_only() -> None:
    UserAction(user_id=7, action_type="login").save()
    assert load_demo() is None
    assert (UserAction.objects.count(), UserSegment.objects.count()) == (1, 0)


def test_the_demo_moves_with_the_day() -> None:
    load_demo(today=date(2026, 3, 1))
    assert UserAction.objects.latest("action_timestamp").action_timestamp == datetime(2026, 3, 1, tzinfo=UTC)
    assert UserAction.objects.earliest("action_timestamp").action_timestamp == datetime(2025, 12, 1, tzinfo=UTC)


def test_the_admin_may_log_in_with_the_kept_password(tmp_path: Path, client: Client) -> None:
    password = admin_password(tmp_path)
    assert password
    assert admin_password(tmp_path) == password
    assert (tmp_path / "admin_password").stat().st_mode & 0o777 == 0o600
    assert client.login(username="admin", password=password)
    assert client.get("/admin/").status_code == 200


def test_a_changed_password_is_not_shown(tmp_path: Path) -> None:
    admin_password(tmp_path)
    admin = User.objects.get(username="admin")
    admin.set_password("another one")
    admin.save()
    assert admin_password(tmp_path) is None


def test_a_database_with_a_superuser_gets_no_other(tmp_path: Path) -> None:
    get_user_model().objects.create_superuser("boss", password="secret")
    assert admin_password(tmp_path) is None
    assert User.objects.count() == 1
    assert not (tmp_path / "admin_password").exists()
