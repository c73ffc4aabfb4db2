"""Outlook and forecast under every field of a policy, against the real batch of the coming nights."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings

from segments.forecasts.exits import Exit, Forecast
from segments.forecasts.outlook import outlook_of
from segments.models import UserSegment
from segments.rfm.runs import compute_rfm_and_update_segments
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
