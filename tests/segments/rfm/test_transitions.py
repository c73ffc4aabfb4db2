"""The groups of users at a past time, and the transitions between two times."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from actions.models import UserAction
from segments.models import UserSegment
from segments.rfm.runs import compute_rfm_and_update_segments
from segments.rfm.transitions import transition_matrix
from tests.segments.rfm_oracle import DAY

pytestmark = pytest.mark.django_db

AS_OF = datetime(2026, 3, 1, 2, tzinfo=UTC)


def act(user_id: int, times: int) -> None:
    UserAction.objects.bulk_create(
        UserAction(user_id=user_id, action_type="x", value=Decimal(10), action_timestamp=AS_OF) for _ in range(times)
    )


def run(as_of: datetime = AS_OF) -> tuple[datetime, dict[int, str]]:
    """Make a run and check its counts; returns the moment after it and every user's group."""
    done = compute_rfm_and_update_segments(as_of=as_of)
    done.refresh_from_db()
    groups = dict(UserSegment.objects.values_list("user_id", "rfm_group"))
    scores = Counter(UserSegment.objects.values_list("recency_score", "frequency_score"))
    assert {group: users for group, users in done.groups.items() if users} == Counter(groups.values())
    assert done.scores == [[*score, users] for score, users in sorted(scores.items())]
    return timezone.now(), groups


@pytest.fixture
def history() -> list[tuple[datetime, dict[int, str]]]:
    """Four moments, each with the groups of that time."""
    begin = timezone.now()
    act(1, 3)
    act(2, 10)
    act(3, 1)
    first = run()
    act(3, 9)
    act(4, 1)
    act(5, 3)
    second = run(AS_OF + DAY)
    act(1, 7)
    return [(begin, {}), first, second, run(AS_OF + 8 * DAY)]


def test_the_group_of_every_user_at_any_past_time(history: list[tuple[datetime, dict[int, str]]]) -> None:
    for moment, groups in history:
        then = dict(UserSegment.objects.with_group_at(moment).values_list("user_id", "group_then"))
        assert then == dict.fromkeys(range(1, 6), "Low") | groups  # users without a row count as lapsed


def test_a_transition_matrix_sums_to_all_users(history: list[tuple[datetime, dict[int, str]]]) -> None:
    (begin, _), (first, _), (second, _), (third, _) = history
    assert transition_matrix(first, second) == {
        ("Low", "Low"): 1,
        ("Low", "Medium"): 1,
        ("Low", "Whale"): 1,
        ("Medium", "Medium"): 1,
        ("Whale", "Whale"): 1,
    }
    to_medium = {("Medium", "Medium"): 2, ("Whale", "Medium"): 2}
    assert transition_matrix(second, third) == {("Low", "Low"): 1} | to_medium
    assert transition_matrix(third, second) == {("Low", "Low"): 1, ("Medium", "Medium"): 2, ("Medium", "Whale"): 2}
    for start in (begin, first, second, third):
        assert transition_matrix(start, timezone.now() + timedelta(seconds=1)).total() == 5
