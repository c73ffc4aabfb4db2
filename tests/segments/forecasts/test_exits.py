"""manage.py forecast_exits, and its agreement with every user's outlook and with the batches themselves."""

import csv
import io
import json
from dataclasses import asdict
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.core.management import CommandError, call_command

from actions.models import UserAction
from segments.forecasts.exits import Exit, Forecast
from segments.forecasts.outlook import outlook_of
from segments.models import RfmPolicy
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.runs import compute_rfm_and_update_segments
from segments.rules.scoring import Rule
from tests.segments.random_users import DAY, NEXT_BATCH, NOW, random_users

pytestmark = pytest.mark.django_db


def forecast(*options: str) -> str:
    out = io.StringIO()
    with time_machine.travel(NOW, tick=False):
        call_command("forecast_exits", *options, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def by_outlook(users: list[int], group: str, days: int) -> list[Exit]:
    """The rows that the outlooks of all these users add up to."""
    found = []
    for user_id in users:
        seen = outlook_of(user_id=user_id, now=NOW)
        if seen.rfm_group == group and seen.leaves_on and seen.leaves_on <= (NOW + days * DAY).date():
            found.append(Exit(user_id, group, seen.leaves_on, seen.falls_to))
    return sorted(found, key=lambda row: (row.leaves_on, row.user_id))


@pytest.mark.parametrize(("group", "days"), [("Whale", 7), ("Whale", 32), ("Medium", 7), ("Medium", 32), ("Low", 32)])
def test_the_forecast_is_what_the_outlooks_of_all_users_add_up_to(group: str, days: int) -> None:
    expected = by_outlook(random_users(150), group, days)
    assert bool(expected) == (group != "Low")
    rows = list(csv.DictReader(io.StringIO(forecast("--group", group, "--days", str(days)))))
    assert rows == [{name: str(value) for name, value in row._asdict().items()} for row in expected]


def test_the_forecast_follows_a_quantile_policys_last_run() -> None:
    users = random_users(60)
    publish_rfm_policy(kind="quantile", rules=RfmPolicy.objects.active().rules)
    compute_rfm_and_update_segments(as_of=NOW)
    for group in ("Whale", "Medium"):
        expected = by_outlook(users, group, 7)
        assert expected
        assert list(Forecast(group=group, days=7, now=NOW).exits()) == expected


def test_a_group_by_recency_alone_ends_with_the_window() -> None:
    first = RfmPolicy.objects.active()
    rules = [Rule("Seen", 2, 1, 1), Rule("=Gone()", 1, 1, 1)]
    publish_rfm_policy(
        rules=[asdict(rule) for rule in rules],
        recency_cuts=first.recency_cuts,
        frequency_cuts=first.frequency_cuts,
        monetary_cuts=first.monetary_cuts,
    )
    expected = by_outlook(random_users(60), "Seen", 20)
    assert expected
    assert list(Forecast(group="Seen", days=20, now=NOW).exits()) == expected
    assert forecast("--group", "Seen", "--days", "20").endswith(",'=Gone()\n")  # no formula for a spreadsheet


def test_an_action_dated_after_the_next_batch_does_not_save_from_it() -> None:
    now = NEXT_BATCH - timedelta(minutes=2)
    for age in [8 * DAY - timedelta(minutes=1)] * 10 + [-timedelta(minutes=5)]:
        UserAction.objects.create(user_id=7, action_type="bet", value=Decimal(10), action_timestamp=now - age)
    assert outlook_of(user_id=7, now=now).leaves_on == NEXT_BATCH.date()
    assert list(Forecast(group="Whale", days=7, now=now).exits()) == [Exit(7, "Whale", NEXT_BATCH.date(), "Medium")]


def test_the_same_users_can_be_listed_as_segments() -> None:
    users = random_users(60)
    compute_rfm_and_update_segments(as_of=NOW)
    expected = sorted(row.user_id for row in by_outlook(users, "Whale", 7))
    assert expected
    segments = Forecast(group="Whale", days=7, now=NOW).segments()
    assert list(segments.values_list("user_id", flat=True)) == expected
    assert segments.filter(rfm_group="Whale", user_id__lt=30).count() == sum(user_id < 30 for user_id in expected)


def test_csv_has_a_header_and_json_an_object_a_line() -> None:
    UserAction.objects.bulk_create(
        UserAction(user_id=7, action_type="bet", value=Decimal(10), action_timestamp=NOW - 6 * DAY) for _ in range(10)
    )
    assert forecast("--group", "Whale") == "user_id,rfm_group,leaves_on,falls_to\n7,Whale,2026-03-13,Medium\n"
    assert [json.loads(line) for line in forecast("--group", "Whale", "--days", "3", "--json").splitlines()] == [
        {"user_id": 7, "rfm_group": "Whale", "leaves_on": "2026-03-13", "falls_to": "Medium"}
    ]
    assert forecast("--group", "Whale", "--days", "2") == "user_id,rfm_group,leaves_on,falls_to\n"


def test_the_summary_goes_to_stderr() -> None:
    err = io.StringIO()
    call_command("forecast_exits", "--group", "Whale", stdout=io.StringIO(), stderr=err)
    assert err.getvalue() == "forecast_exits: 0 leave Whale within 7 days if nothing more happens\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group", "Dolphin"], 'There is no group "Dolphin", only Whale, Medium, Low.'),
        (["--group", "Whale", "--days", "0"], "expected a whole number from 1 to 32"),
        (["--group", "Whale", "--days", "33"], "expected a whole number from 1 to 32"),
        ([], "the following arguments are required: --group"),
    ],
)
def test_a_wrong_argument_says_what_is_right(options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message.replace(".", r"\.")):
        forecast(*options)
