"""Policies as files, and publishing that leaves no recommendation rule without its group."""

import io
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from actions.models import UserAction
from segments.models import RecommendationPolicy, RfmPolicy, RfmRun
from segments.publishing import forecast_policies
from segments.recommendations.recommend import ACTIVE_POLICY
from segments.rules.presets import PRESETS, TEN, Preset
from tests.support.api_client import get, post

pytestmark = pytest.mark.django_db
TWO = [
    {"name": "Gold", "recency": 3, "frequency": 1, "monetary": 1, "color": "#ffcc00"},
    {"name": "Rest", "recency": 1, "frequency": 1, "monetary": 1},
]
ALWAYS = {"risk_profile": None, "streak_from": 0, "streak_to": None}
OFFERS = [
    {"group": "Gold", "probability": "0.6", "time_window": "next 3 hours"} | ALWAYS,
    {"group": "Rest", "probability": "0.3", "time_window": "any time"} | ALWAYS,
]


@pytest.fixture(autouse=True)
def _fresh_cache() -> None:
    ACTIVE_POLICY.clear()


def show(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("show_policy", *arguments, stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(content: Any, name: str = "policy.json") -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write


def publish(kind: str, *arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("publish_policy", kind, *arguments, stdout=out, stderr=err)
    return out.getvalue().strip(), err.getvalue().strip()


def revision(kind: str) -> int:
    return int({"rfm": RfmPolicy, "recommendation": RecommendationPolicy}[kind].objects.active().revision)


def refusal(kind: str, *arguments: str) -> list[str]:
    with pytest.raises(CommandError) as refused:
        publish(kind, *arguments)
    assert (RfmPolicy.objects.active().revision, RecommendationPolicy.objects.active().revision) == (1, 1)
    return str(refused.value).splitlines()


def recommended(user_id: int) -> tuple[str, float]:
    body = get(f"user-segments/{user_id}/recommendation").json()
    return body["rfm_group"], body["recommended_reward_probability"]


def test_revision_1_is_shown_with_all_its_fields() -> None:
    assert show("rfm") == show("rfm", "1")
    assert show("rfm") == {
        "kind": "fixed",
        "window_days": 30,
        "activity_types": None,
        "value_types": None,
        "negative_is_activity": True,
        "count": "actions",
        "bins": 5,
        "recency_cuts": [30, 30, 7, 7],
        "frequency_cuts": [3, 3, 10, 10],
        "monetary_cuts": ["20", "20", "100", "100"],
        "shares": None,
        "rules": RfmPolicy.objects.active().rules,
        "note": "The original system's rules.",
    }
    assert show("recommendation")["streak_step"] == "0.010000"


@pytest.mark.parametrize("kind", ["rfm", "recommendation"])
def test_what_is_shown_can_be_published(kind: str, file: Any) -> None:
    before = show(kind)
    out, _ = publish(kind, file(before), "--note", "again")
    assert out == f"publish_policy: {kind} policy {revision(kind)} in force"
    assert show(kind) == before | {"note": "again"}
    assert show(kind, "1") == before


def test_a_policy_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(show("rfm") | {"window_days": 365})))
    assert publish("rfm", "-")[0] == f"publish_policy: rfm policy {revision('rfm')} in force"
    assert RfmPolicy.objects.active().window_days == 365


def test_each_fault_of_a_file_is_a_line_that_names_its_field(file: Any) -> None:
    wrong = show("rfm") | {
        "window_days": 0,
        "activity_types": {"only": ["buy"]},
        "value_types": {"include": []},
        "rules": [*TWO, *({"name": f"G{n}", "recency": 1, "frequency": 1, "monetary": 1} for n in range(11))],
    }
    faults = refusal("rfm", file(wrong))
    assert [fault.partition(":")[0] for fault in faults] == ["window_days", "activity_types", "value_types", "rules"]
    assert faults[0] == "window_days: It must be a whole number of days from 1 to 730."
    assert faults[-1] == "rules: At most 12 groups are allowed, not 13."


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("not json", "cannot read"),
        ([], "one JSON object is expected"),
        ({"windows": 3, "rules": TWO}, "windows: there is no such field of a rfm policy"),
        ({"kind": "quantile", "rules": TWO, "bins": 3, "shares": [1, 4, 90]}, "shares: The shares must add up to 100"),
        ({"kind": "quantile", "rules": TWO, "bins": 3, "shares": [1, 99]}, "shares: 3 shares are needed"),
        ({"kind": "quantile", "rules": TWO, "bins": 11}, "bins: It must be a whole number of bins from 2 to 10."),
        ({"kind": "fixed", "rules": TWO, "shares": [20] * 5}, "shares: Only a quantile policy has shares"),
        ({"kind": "quantile", "rules": [TWO[0] | {"color": "red"}, TWO[1]]}, "rules: Rule 1: color must be a color"),
        ({"kind": "quantile", "rules": [TWO[1] | {"gone_days": 3}]}, "rules: The last rule"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_in_a_sentence(content: Any, fault: str, file: Any) -> None:
    assert fault in "\n".join(refusal("rfm", file(content)))


def test_a_missing_revision_and_a_missing_file_are_named() -> None:
    with pytest.raises(CommandError, match="there is no rfm policy with revision 9"):
        show("rfm", "9")
    assert "cannot read /nowhere.json: No such file" in refusal("rfm", "/nowhere.json")[0]


def test_a_type_that_never_occurs_is_a_warning_with_the_types_that_do(file: Any) -> None:
    post("actions", {"user_id": 7, "action_type": "purchase"})
    out, err = publish("rfm", file(show("rfm") | {"activity_types": {"include": ["purchase", "purchse"]}}))
    assert "in force" in out
    assert err == (
        'warning: activity_types: the type "purchse" does not occur in the last 100000 actions; their types are: '
        "purchase."
    )


def test_groups_that_recommendation_rules_name_cannot_be_dropped(file: Any) -> None:
    content = {"kind": "quantile", "rules": TWO}
    faults = refusal("rfm", file(content))
    assert len(faults) == 3
    assert "Rule 1: the group must be null (any) or one of Gold, Rest, not 'Whale'." in faults[0]
    assert publish("rfm", file(content), "--with", file({"rules": OFFERS}, "offers.json"))[0] == (
        f"publish_policy: rfm policy {revision('rfm')} and recommendation policy {revision('recommendation')} in force"
        "; a run is requested, until it is done users are in their old groups"
    )
    assert RfmRun.objects.requested().count() == 1


def test_the_other_kind_can_be_the_first_of_the_two(file: Any) -> None:
    both = file({"rules": OFFERS}), "--with", file({"kind": "quantile", "rules": TWO}, "rfm.json")
    assert "in force; a run is requested" in publish("recommendation", *both)[0]
    assert RfmPolicy.objects.active().scoring_groups() == ["Gold", "Rest"]
    assert RecommendationPolicy.objects.active().rules == OFFERS


def test_two_policies_of_which_one_is_wrong_change_nothing(file: Any) -> None:
    wrong = [OFFERS[0], OFFERS[1] | {"group": "Low"}]
    faults = refusal("rfm", file({"kind": "quantile", "rules": TWO}), "--with", file({"rules": wrong}, "o.json"))
    assert faults == ["recommendation.rules: Rule 2: the group must be null (any) or one of Gold, Rest, not 'Low'."]


def test_an_invariant_of_the_rules_in_force_protects_them_from_other_groups(file: Any) -> None:
    offers = [OFFERS[0] | {"group": "Whale"}, OFFERS[1] | {"group": "Low", "probability": "0.1"}]
    publish(
        "recommendation",
        file({"rules": offers, "invariants": [{"kind": "never_lower_for_a_better_group"}]}),
    )
    rules = [rule | {"name": name} for name, rule in zip(("Medium", "Whale", "Low"), show("rfm")["rules"], strict=True)]
    with pytest.raises(CommandError, match="in the worse group Whale they would get"):
        publish("rfm", file(show("rfm") | {"rules": rules}))


def test_a_user_whom_nobody_knows_is_answered_as_the_last_group(file: Any) -> None:
    assert recommended(99) == ("Low", 0.25)
    publish("rfm", file({"kind": "quantile", "rules": TWO}), "--with", file({"rules": OFFERS}, "offers.json"))
    assert recommended(99) == ("Rest", 0.3)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_a_preset_is_a_pair_of_valid_policies_with_a_sentence_for_each_group(preset: Preset, file: Any) -> None:
    offers = file({"rules": preset.recommendation_rules}, "offers.json")
    publish("rfm", file(preset.rfm), "--with", offers)
    assert RfmPolicy.objects.active().scoring_groups() == [group.name for group in preset.groups]
    assert all(group.meaning and rule["color"] for group, rule in zip(preset.groups, preset.rfm["rules"], strict=True))


def buy(user_id: int, *days: int, value: str = "10") -> None:
    UserAction.objects.bulk_create(
        UserAction(
            user_id=user_id,
            action_type="purchase",
            value=Decimal(value),
            action_timestamp=timezone.now() - timedelta(days=day, hours=1),
        )
        for day in days
    )


def test_a_shop_takes_the_preset_of_ten_and_its_answers_follow(file: Any, tmp_path: Path) -> None:
    """It imports, looks at the preview, publishes both policies, and asks for recommendations."""
    now = timezone.now()
    lines = [
        f"{user},{(now - timedelta(days=age, hours=1)).isoformat()},{value},purchase,O-{user}-{age}"
        for user, ages, value in [
            (1, range(2, 62, 4), "80.00"),  # often, lately, for much
            (2, range(200, 290, 6), "80.00"),  # the same, long ago
            (3, [3], "5.00"),
            *((user, [user * 8], "10.00") for user in range(4, 40)),
        ]
        for age in ages
    ]
    csv = file("user_id,action_timestamp,value,action_type,order_id\n" + "\n".join(lines) + "\n", "shop.csv")
    call_command("import_actions", csv, stdout=io.StringIO())
    call_command("compute_rfm", stdout=io.StringIO())
    rfm, offers = RfmPolicy(**TEN.rfm), RecommendationPolicy(rules=TEN.recommendation_rules)
    forecast = forecast_policies(rfm, offers)
    assert forecast.groups.groups["Champions"] >= 1
    assert forecast.answers.users == 39
    assert forecast.answers.changed == 39  # Hibernating users get 0.15 instead of 0.25
    assert forecast.answers.rewards_after != forecast.answers.rewards_before
    publish("rfm", file(TEN.rfm), "--with", file({"rules": TEN.recommendation_rules}, "offers.json"))
    call_command("compute_rfm", stdout=io.StringIO())
    assert recommended(1) == ("Champions", 0.2)
    assert recommended(2) == ("Can't lose", 0.75)
    assert recommended(3) == ("New customers", 0.3)
    assert recommended(10**9) == ("Hibernating", 0.15)
    expected = dict.fromkeys(group.name for group in TEN.groups) | forecast.groups.groups
    assert RfmRun.objects.done().first().groups == expected
