"""manage.py prune_actions: deletes old actions in bounded transactions, never those that RFM reads."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from actions import pruning
from actions.models import UserAction

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
