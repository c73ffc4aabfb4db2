"""Outlook and forecast under every field of a policy, against the real batch of the coming nights."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings

from segments.forecasts.exits import Exit, Forecast
from segments.forecasts.outlook import outlook_of
from segments.forecasts.window_parts import window_parts
from segments.models import UserSegment
from segments.rfm.runs import compute_rfm_and_update_segments
from segments.rules.counting import Counting
from tests.segments.rfm.test_counting_oracle import RULES, Content, actions, contents, store
from tests.segments.rfm_oracle import DAY, Action

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 2, tzinfo=UTC)
NIGHTS = 14
RANKS = [rule["name"] for rule in RULES]


def groups(as_of: datetime) -> dict[int, str]:
    compute_rfm_and_update_segments(as_of=as_of)
    return dict(UserSegment.objects.values_list("user_id", "rfm_group"))


@settings(max_examples=25)
@given(actions, contents)
def test_outlook_and_forecast_say_what_the_coming_batches_do(done: list[Action], content: Content) -> None:
    # Of an order, only actions dated ahead of its others would be another order for a few minutes.
    done = [action for action in done if action.at <= NOW]
    with transaction.atomic():
        store(done)
        content.published()
        now = groups(NOW)
        seen = {user_id: outlook_of(user_id=user_id, now=NOW) for user_id in now}
        forecast = [row for group in RANKS for row in Forecast(group=group, days=NIGHTS, now=NOW).exits()]
        assert {user_id: outlook.rfm_group for user_id, outlook in seen.items()} == now
        left: dict[int, tuple[Any, str]] = {}
        for night in (NOW + n * DAY for n in range(1, NIGHTS + 1)):
            for user_id, group in groups(night).items():
                if RANKS.index(group) > RANKS.index(now[user_id]):
                    left.setdefault(user_id, (night.date(), group))
        until = (NOW + timedelta(days=NIGHTS)).date()
        foreseen = {u: (o.leaves_on, o.falls_to) for u, o in seen.items() if o.leaves_on and o.leaves_on <= until}
        assert foreseen == left
        assert sorted(forecast) == sorted(Exit(user_id, now[user_id], *left[user_id]) for user_id in left)
        transaction.set_rollback(True)


def test_an_order_over_two_nights_is_one_and_leaves_with_its_last_line() -> None:
    store([Action(1, NOW - age * DAY, Decimal(5), "buy", "A") for age in (1, 2)])
    store([Action(1, NOW - 3 * DAY, Decimal(20), "buy", "B"), Action(1, NOW - 3 * DAY, Decimal(1), "buy")])
    parts = window_parts(1, Counting(7, orders=True), [NOW + n * DAY for n in range(9)])
    counted = [((NOW - part.last).days if part.last else None, part.frequency, part.total) for part in parts]
    assert sorted(counted, key=str) == [(1, 1, Decimal(5)), (2, 0, Decimal(5)), (3, 2, Decimal(21))]
