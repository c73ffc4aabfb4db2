"""manage.py prune_actions: deletes old actions in bounded transactions, never those that RFM reads."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from actions import pruning
from actions.models import UserAction
from segments.models import RfmPolicy, UserSegment

pytestmark = pytest.mark.django_db


def prune(days: int) -> str:
    out = StringIO()
    call_command("prune_actions", older_than=days, stdout=out)
    return out.getvalue().strip()


def actions_of_ages(*ages: float) -> None:
    now = timezone.now()
    UserAction.objects.bulk_create(
        UserAction(user_id=n + 1, action_type="x", action_timestamp=now - timedelta(days=age))
        for n, age in enumerate(ages)
    )


def test_only_older_actions_are_deleted() -> None:
    actions_of_ages(0, 30, 399.9, 400.1, 1000)
    assert prune(400) == "prune_actions: 2 actions older than 400 days deleted"
    assert sorted(UserAction.objects.values_list("user_id", flat=True)) == [1, 2, 3]


def test_every_transaction_is_bounded_and_reports_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    actions_of_ages(*[500] * 25)
    monkeypatch.setattr(pruning, "STRIDE", 10)
    steps = list(pruning.prune_actions(older_than_days=400))
    assert [deleted for deleted, _ in steps] == [10, 20, 25]
    assert steps[-1][1] == 1


def test_days_within_the_rfm_window_are_rejected() -> None:
    actions_of_ages(30.5)
    with pytest.raises(CommandError, match="at least 31 days"):
        prune(30)
    assert UserAction.objects.count() == 1


@pytest.mark.parametrize("days", [-1, 800_000, 10**17])
def test_days_that_no_calendar_has_are_rejected(days: int) -> None:
    with pytest.raises(CommandError, match="expected a whole number from 1 to 36500"):
        prune(days)


def test_an_empty_table_is_no_error() -> None:
    assert prune(400) == "prune_actions: 0 actions older than 400 days deleted"


def test_a_window_of_a_year_is_kept() -> None:
    first = RfmPolicy.objects.active()
    RfmPolicy.objects.publish(**{name: getattr(first, name) for name in RfmPolicy.CONTENT} | {"window_days": 365})
    with pytest.raises(CommandError, match="at least 366 days: the RFM window still reads newer actions"):
        prune(365)
    assert prune(366).startswith("prune_actions: 0 actions")


def test_lifetime_figures_count_what_is_left() -> None:
    now = timezone.now()
    for age in (1, 100, 500):
        UserAction.objects.bulk_create(
            [UserAction(user_id=1, action_type="x", action_timestamp=now - timedelta(days=age))]
        )
    call_command("compute_rfm", stdout=StringIO())
    assert UserSegment.objects.get().lifetime_actions == 3
    prune(400)
    call_command("compute_rfm", stdout=StringIO())
    segment = UserSegment.objects.get()
    assert (segment.lifetime_actions, segment.first_action_at) == (2, now - timedelta(days=100))
