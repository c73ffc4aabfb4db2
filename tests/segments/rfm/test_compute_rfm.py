"""manage.py compute_rfm, by its output and its rows."""

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from django.utils import timezone

from actions.models import UserAction
from segments.models import RfmPolicy, RfmRun, RiskProfile, SegmentChange, UserSegment
from segments.rfm.policies import publish_rfm_policy
from tests.segments.cdnow import import_cdnow
from tests.segments.rfm_oracle import DAY, Action, Row, naive_row, stored_rows
from tests.support.api_client import get, post

pytestmark = pytest.mark.django_db

AS_OF = datetime(2026, 3, 1, 2, tzinfo=UTC)


def compute(*options: str, as_of: datetime | str = AS_OF) -> str:
    out = io.StringIO()
    call_command(
        "compute_rfm", f"--as-of={as_of if isinstance(as_of, str) else as_of.isoformat()}", *options, stdout=out
    )
    return out.getvalue().strip()


def report(*options: str, as_of: datetime | str = AS_OF) -> dict[str, Any]:
    lines = compute("--json", *options, as_of=as_of).splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


def act(user_id: int, times: int = 1, *, value: str = "10", at: datetime = AS_OF - DAY) -> None:
    UserAction.objects.bulk_create(
        UserAction(user_id=user_id, action_type="x", value=Decimal(value), action_timestamp=at) for _ in range(times)
    )


def groups() -> dict[int, str]:
    return dict(UserSegment.objects.values_list("user_id", "rfm_group"))


def test_the_golden_figures_of_the_whole_cdnow_file() -> None:
    import_cdnow()
    found = report(as_of="1997-04-01T02:00:00Z")
    duration = found.pop("duration")
    assert duration > 0
    assert found == {
        "as_of": "1997-04-01T02:00:00.000000Z",
        "policy": 1,
        "dry_run": False,
        "users": 23_570,
        "active": 8_949,
        "changed": 23_570,
        "lapsed": 0,
        "groups": {"Whale": 5, "Medium": 307, "Low": 23_258},
    }
    sums = UserSegment.objects.aggregate(frequency=Sum("frequency"), monetary=Sum("monetary"))
    assert (sums["frequency"], round(sums["monetary"], 2)) == (10_911, Decimal("370988.43"))
    again = report(as_of="1997-04-01T02:00:00Z")
    assert (again["users"], again["changed"], again["lapsed"]) == (23_570, 0, 0)


def test_a_posted_action_counts_in_the_run_without_arguments() -> None:
    post("actions", {"user_id": 7, "action_type": "BUY", "value": "25.00"})
    out = io.StringIO()
    call_command("compute_rfm", stdout=out)
    assert "policy 1: 1 users (Whale 0, Medium 0, Low 1), 1 active, 1 changed, 0 lapsed" in out.getvalue()
    body = get("user-segments/7").json()
    assert (body["recency_score"], body["frequency_score"], body["monetary_score"]) == (5, 1, 3)
    assert (body["recency_days"], body["frequency"], body["monetary"]) == (0, 1, "25.00")


def test_an_unchanged_row_is_not_written_again() -> None:
    act(1, at=AS_OF - 3 * DAY)
    act(2, at=AS_OF - 3 * DAY)
    compute()
    before = dict(UserSegment.objects.values_list("user_id", "last_updated"))
    act(2)
    assert report(as_of=AS_OF + DAY)["changed"] == 1
    after = dict(UserSegment.objects.values_list("user_id", "last_updated"))
    assert after[1] == before[1]
    assert after[2] > before[2]
    assert get("user-segments/1").json()["recency_days"] == 4


def test_a_lapsed_user_is_reset_and_keeps_the_risk_profile() -> None:
    act(1, times=10)
    compute()
    UserSegment.objects.update(risk_profile=RiskProfile.HIGH)
    found = report(as_of=AS_OF + 30 * DAY)
    assert (found["users"], found["active"], found["changed"], found["lapsed"]) == (1, 0, 1, 1)
    body = get("user-segments/1").json()
    assert (body["rfm_group"], body["risk_profile"]) == ("Low", "High-Risk")
    assert (body["frequency"], body["monetary"], body["recency_days"]) == (0, "0.00", None)
    assert (body["lifetime_actions"], body["lifetime_value"]) == (10, "100.00")
    assert body["first_action_at"] == body["last_action_at"] == "2026-02-28T02:00:00.000000Z"
    assert report(as_of=AS_OF + 31 * DAY)["lapsed"] == 0


def test_a_user_first_seen_outside_the_window_appears_as_low() -> None:
    act(1)
    compute()
    act(2, at=AS_OF - 200 * DAY)
    found = report()
    assert (found["users"], found["active"], found["changed"]) == (2, 1, 1)
    assert groups() == {1: "Low", 2: "Low"}


def test_a_late_event_changes_the_next_run_as_if_it_had_come_in_time() -> None:
    act(1, times=9, at=AS_OF - 20 * DAY)
    compute()
    act(1, at=AS_OF - 25 * DAY, value="10")
    compute()
    late = stored_rows()
    UserSegment.objects.all().delete()
    compute()
    assert stored_rows() == late
    assert groups() == {1: "Medium"}


def test_a_month_without_a_run_leaves_no_user_out() -> None:
    act(1, at=AS_OF + DAY)  # after the first run's end, before the second run's window
    compute()
    assert groups() == {}
    compute(as_of=AS_OF + 60 * DAY)
    assert groups() == {1: "Low"}


def test_an_emptied_table_is_filled_again() -> None:
    act(1, at=AS_OF - 100 * DAY)
    compute()
    UserSegment.objects.all().delete()
    compute()
    assert groups() == {1: "Low"}


def test_every_change_of_group_is_kept_with_its_run() -> None:
    act(1, times=3)
    act(2)
    compute()
    act(1, times=7, value="20")
    compute(as_of=AS_OF + DAY)
    compute(as_of=AS_OF + 60 * DAY)
    first, second, third = RfmRun.objects.order_by("id").values_list("id", flat=True)
    moves = SegmentChange.objects.order_by("id").values_list("user_id", "from_group", "to_group", "run_id")
    assert list(moves) == [
        (1, "", "Medium", first),
        (1, "Medium", "Whale", second),
        (1, "Whale", "Low", third),
    ]
    assert [row["to_group"] for row in get("user-segments/1/history").json()["results"]] == ["Low", "Whale", "Medium"]


def test_a_dry_run_counts_the_users_who_would_move_and_changes_nothing() -> None:
    act(1, times=10)
    act(2, times=3)
    act(3, times=3)
    compute()
    strict = [{"name": "Gold", "recency": 5, "frequency": 5, "monetary": 5}, *RfmPolicy.objects.active().rules[2:]]
    policy = publish_rfm_policy(
        rules=strict, recency_cuts=[30, 20, 10, 5], frequency_cuts=[2, 4, 6, 8], monetary_cuts=["1", "2", "3", "100"]
    )
    before = list(UserSegment.objects.values())
    found = report("--dry-run")
    assert found["moves"] == [
        {"from": "Medium", "to": "Low", "users": 2},
        {"from": "Whale", "to": "Gold", "users": 1},
    ]
    assert (found["policy"], found["changed"], found["groups"]) == (policy.revision, 3, {"Gold": 1, "Low": 2})
    assert report("--dry-run", "--policy=1")["moves"] == []
    assert compute("--dry-run").splitlines()[:2] == ["Medium -> Low: 2", "Whale -> Gold: 1"]
    assert list(UserSegment.objects.values()) == before
    assert RfmRun.objects.count() == 1


def test_a_run_by_another_policy_names_it() -> None:
    act(1, times=3)
    policy = publish_rfm_policy(kind=RfmPolicy.Kind.QUANTILE, rules=RfmPolicy.objects.active().rules)
    assert report()["policy"] == policy.revision
    assert report("--policy=1")["policy"] == 1
    runs = RfmRun.objects.order_by("id").values_list("policy_id", "cuts")
    assert list(runs) == [
        (policy.revision, {"recency": [0, 0, 0, 0], "frequency": [None] * 4, "monetary": [None] * 4}),
        (1, {"recency": [30, 30, 7, 7], "frequency": [3, 3, 10, 10], "monetary": ["20", "20", "100", "100"]}),
    ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-03-01T02:00:00Z", AS_OF),
        ("2026-03-01T03:30:00.5+01:00", AS_OF + timedelta(minutes=30, seconds=0.5)),
        ("2026-03-01", AS_OF - timedelta(hours=2)),
        ("2026-03-01T02:00", AS_OF),
    ],
)
def test_as_of_is_iso_8601(text: str, meant: datetime) -> None:
    assert datetime.fromisoformat(report(as_of=text)["as_of"]) == meant
    assert RfmRun.objects.get().as_of == meant


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-13-01",
        "02:00",
        "",
        "2026-W01-1",
        "2026-03-01T24:00",
        "2026-03-01T02:00:60",
        "2026-03-01T02:00+05:75",
    ],
)
def test_another_as_of_is_refused_in_words(text: str) -> None:
    with pytest.raises(CommandError, match="is not ISO 8601"):
        compute(as_of=text)


def test_an_as_of_before_all_computers_is_refused() -> None:
    with pytest.raises(CommandError, match="is before 1970"):
        compute(as_of="0001-01-01")


def test_an_unknown_policy_is_refused_in_words() -> None:
    with pytest.raises(CommandError, match="there is no RFM policy with revision 99"):
        compute("--policy=99")


def test_a_run_without_an_action_is_a_run() -> None:
    found = report()
    assert (found["users"], found["active"], found["changed"]) == (0, 0, 0)
    run = RfmRun.objects.get()
    assert (run.kind, run.status, run.error) == ("manual", "done", "")
    assert run.started_at and run.finished_at and run.started_at <= run.finished_at <= timezone.now()


def test_group_names_are_data_not_code() -> None:
    act(1, times=3)
    publish_rfm_policy(
        rules=[
            {"name": "O'Hara; DROP TABLE 100%s", "recency": 3, "frequency": 1, "monetary": 1},
            {"name": "Rest", "recency": 1, "frequency": 1, "monetary": 1},
        ],
        recency_cuts=[30, 30, 7, 7],
        frequency_cuts=[3, 3, 10, 10],
        monetary_cuts=["20", "20", "100", "100"],
    )
    assert report()["groups"] == {"O'Hara; DROP TABLE 100%s": 1, "Rest": 0}


def test_one_rule_is_a_policy() -> None:
    act(1, times=3)
    publish_rfm_policy(
        kind=RfmPolicy.Kind.QUANTILE, rules=[{"name": "All", "recency": 1, "frequency": 1, "monetary": 1}]
    )
    assert report()["groups"] == {"All": 1}


def refusal(*options: str, as_of: datetime | str = AS_OF) -> str:
    with pytest.raises(CommandError) as refused:
        compute(*options, as_of=as_of)
    assert refused.value.returncode == 1
    return str(refused.value)


def test_a_moment_in_the_future_is_refused() -> None:
    act(1)
    tomorrow = timezone.now() + DAY
    assert "is in the future: everybody would lapse" in refusal(as_of=tomorrow)
    assert "is in the future" in refusal("--force", as_of=tomorrow)
    assert not RfmRun.objects.exists()


def test_the_clock_goes_back_by_force_only_and_then_as_if_nothing_had_been_later() -> None:
    act(1)
    act(2, at=AS_OF + 2 * DAY)
    act(3, at=AS_OF + 2 * DAY)
    compute(as_of=AS_OF + 3 * DAY)
    set_risk = UserSegment.objects.filter(user_id=3)
    set_risk.update(risk_profile=RiskProfile.HIGH)
    assert "the last run was as of 2026-03-04T02:00:00.000000Z, later than 2026-03-01" in refusal()
    assert report("--dry-run")["users"] == 2
    assert UserSegment.objects.count() == 3
    found = report("--force")
    assert (found["users"], found["active"], found["groups"]) == (2, 1, {"Whale": 0, "Medium": 0, "Low": 2})
    assert stored_rows() == {1: naive_row([Action(1, AS_OF - DAY, Decimal(10))], AS_OF), 3: Row()}
    compute(as_of=AS_OF + 3 * DAY)
    assert UserSegment.objects.count() == 3


def test_a_what_if_is_written_to_a_file(tmp_path: Path) -> None:
    act(1, times=10)
    compute("--dry-run", f"--export={tmp_path / 'moves.csv'}")
    header, row = (tmp_path / "moves.csv").read_text().splitlines()
    assert header.startswith("user_id,from_group,rfm_group,recency_score")
    assert row.startswith("1,,Whale,5,5,5,10,100")
    assert "--export is for --dry-run" in refusal("--export=x.csv")
    assert "cannot write /nowhere/x.csv" in refusal("--dry-run", "--export=/nowhere/x.csv")


def test_old_data_are_named_with_the_command_to_type() -> None:
    act(1, at=datetime(2011, 12, 9, 12, 50, tzinfo=UTC))
    out, err = io.StringIO(), io.StringIO()
    call_command("compute_rfm", stdout=out, stderr=err)
    command = "manage.py compute_rfm --as-of 2011-12-09T12:50:00.000000Z --force"
    assert f"the data end at 2011-12-09T12:50:00.000000Z. As of then: {command}" in err.getvalue()
    assert "1 users" in out.getvalue()
    assert report("--force", as_of="2011-12-09T12:50:00.000000Z")["active"] == 1


def cases_policy(**content: Any) -> None:
    """Revision 1 with another content, as a new policy has its other defaults."""
    first = RfmPolicy.objects.get(revision=1)
    cuts = {name: getattr(first, name) for name in ("recency_cuts", "frequency_cuts", "monetary_cuts", "rules")}
    publish_rfm_policy(**cuts | content)


def figures(user_id: int) -> tuple[str, int, Decimal]:
    segment = UserSegment.objects.get(user_id=user_id)
    return segment.rfm_group, segment.frequency, segment.monetary


def test_refunds_alone_make_no_member_of_a_group() -> None:
    act(1, times=10, value="-10.00")
    compute()
    assert figures(1) == ("Medium", 10, Decimal(-100))
    cases_policy()
    compute()
    assert figures(1) == ("Low", 0, Decimal(-100))


def test_lines_of_one_order_are_one_purchase() -> None:
    act(1, times=3, value="5.00")
    UserAction.objects.update(order_id="A-1")
    compute()
    assert figures(1) == ("Medium", 3, Decimal(15))
    cases_policy(count="orders")
    compute()
    assert figures(1) == ("Low", 1, Decimal(15))


def test_page_views_are_no_purchases() -> None:
    for age in range(4):
        act(1, value="30.00", at=AS_OF - age * DAY)
    act(1, times=6, value="0.00")
    UserAction.objects.filter(value=0).update(action_type="page_view")
    compute()
    assert figures(1) == ("Whale", 10, Decimal(120))
    cases_policy(activity_types={"exclude": ["page_view"]})
    compute()
    assert figures(1) == ("Medium", 4, Decimal(120))


def test_who_spent_much_and_is_gone_can_have_a_group() -> None:
    act(1, value="600.00", at=AS_OF - 70 * DAY)
    act(2, value="600.00", at=AS_OF - 50 * DAY)
    act(3, value="60.00", at=AS_OF - 70 * DAY)
    rules = RfmPolicy.objects.active().rules
    lost = {"name": "Can't lose", "recency": 1, "frequency": 1, "monetary": 1}
    cases_policy(rules=[*rules[:2], lost | {"lifetime_value": "500", "gone_days": 60}, rules[2]])
    compute()
    assert groups() == {1: "Can't lose", 2: "Low", 3: "Low"}
    compute(as_of=AS_OF + 10 * DAY)
    assert groups() == {1: "Can't lose", 2: "Can't lose", 3: "Low"}
