"""A user with many actions costs no more memory than one with few."""

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from ccweb.staff.user_page import user_context
from segments.forecasts.outlook import user_outlook
from segments.rfm.runs import compute_rfm_and_update_segments
from tests.support.api_client import get

ROWS = """INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
    SELECT gen_random_uuid(), 7, 'view', n %% 100, now() - n * interval '29 days' / %(actions)s, now()
    FROM generate_series(1, %(actions)s) AS n"""
MEGABYTE = 1_000_000


@pytest.fixture
def busy_user(transactional_db: None, request: pytest.FixtureRequest) -> int:
    if connection.vendor != "postgresql":
        pytest.skip("a million rows, which PostgreSQL generates")
    actions = 1_000_000
    with connection.cursor() as cursor:
        cursor.execute(ROWS, {"actions": actions})
        cursor.execute("VACUUM ANALYZE user_actions")
    return actions


def peak_of(work: Callable[[], Any]) -> int:
    work()  # what is cached from now on
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long
def test_outlook_and_user_page_of_a_million_actions_take_less_than_20_megabytes(busy_user: int) -> None:
    compute_rfm_and_update_segments()
    assert peak_of(lambda: get("user-segments/7/outlook")) < 20 * MEGABYTE
    assert peak_of(lambda: get("user-segments/7/history")) < 20 * MEGABYTE
    assert peak_of(lambda: get("user-segments/7/recommendation")) < 20 * MEGABYTE
    assert peak_of(lambda: user_context(7)) < 20 * MEGABYTE
    assert peak_of(lambda: call_command("explain_user", "7")) < 20 * MEGABYTE
    now = datetime.now(UTC)
    outlook, leaving, _ = user_outlook(user_id=7, now=now, until=now + timedelta(days=30))
    assert (outlook.rfm_group, leaving.actions) == ("Whale", busy_user)
