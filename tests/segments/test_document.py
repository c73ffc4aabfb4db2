"""The examples in docs/02_data_personalization_en.md, executed."""

import io
import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.core.management import call_command

from actions.models import UserAction
from segments.models import RfmPolicy, UserSegment
from segments.rfm.policies import publish_rfm_policy
from segments.rules.presets import FIVE, TEN, Preset
from tests.support.api_client import get

pytestmark = pytest.mark.django_db

TEXT = (Path(__file__).parents[2] / "docs" / "02_data_personalization_en.md").read_text()
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
AGE = re.compile(r"(\d+) (day|hour|minute)s?")
GROUP_OF_ACTIONS = re.compile(r"(\d+) x (-?\d+\.\d\d) (\d+) days? ago")


def section(title: str) -> str:
    """The text between a heading and the next one."""
    return re.split(r"^#+ ", TEXT.partition(f"# {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def table(title: str) -> list[list[str]]:
    """The rows of the one table of a section, without its heading."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    assert len(lines) > 3, f"no table under {title}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def fenced(title: str, language: str) -> str:
    """The one fenced block of a section."""
    return section(title).partition(f"```{language}\n")[2].partition("```")[0]


def act(user_id: int, times: int, value: str, age: timedelta) -> None:
    UserAction.objects.bulk_create(
        UserAction(user_id=user_id, action_type="bet", value=Decimal(value), action_timestamp=NOW - age)
        for _ in range(times)
    )


def span(text: str) -> timedelta:
    """7 days 23 hours."""
    return timedelta(**{f"{unit}s": int(number) for number, unit in AGE.findall(text)})


def scores() -> dict[int, UserSegment]:
    call_command("compute_rfm", "--as-of", NOW.isoformat(), stdout=io.StringIO())
    return UserSegment.objects.in_bulk()


def test_the_examples_of_scores() -> None:
    rows = table("Example: scores")
    for user_id, (times, value, age, *_) in enumerate(rows, 1):
        act(user_id, int(times), value, span(age))
    found = [[s.recency_score, s.frequency_score, s.monetary_score, s.rfm_group] for _, s in sorted(scores().items())]
    assert [[str(cell) for cell in row] for row in found] == [row[3:] for row in rows]


def test_revision_1_is_the_one_in_the_tables() -> None:
    policy = RfmPolicy.objects.get(revision=1)
    rules = [[rule.name, *map(str, rule.least)] for rule in policy.group_rules]
    assert rules == table("Groups")
    cuts = [", ".join(map(str, cuts)) for cuts in (policy.recency_cuts, policy.frequency_cuts, policy.monetary_cuts)]
    assert [row[1] for row in table("Scores")] == [f"{cuts[0]} days", f"{cuts[1]} actions", cuts[2]]


def test_the_example_of_quintiles() -> None:
    rows = table("Example: quintiles")
    publish_rfm_policy(kind="quantile", rules=RfmPolicy.objects.active().rules)
    for user_id, (value, _) in enumerate(rows, 1):
        act(user_id, 1, value, timedelta(days=1))
    assert [str(segment.monetary_score) for _, segment in sorted(scores().items())] == [score for _, score in rows]


def test_the_example_of_shares() -> None:
    rows = table("Example: shares")
    rules = [{"name": "All", "recency": 1, "frequency": 1, "monetary": 1}]
    publish_rfm_policy(kind="quantile", bins=3, shares=[10, 30, 60], rules=rules)
    for user_id, (value, _) in enumerate(rows, 1):
        act(user_id, 1, value, timedelta(days=1))
    assert [str(segment.monetary_score) for _, segment in sorted(scores().items())] == [score for _, score in rows]


def test_the_examples_of_what_counts() -> None:
    first = RfmPolicy.objects.active()
    content = {field: getattr(first, field) for field in RfmPolicy.CONTENT}
    for user_id, (deeds, field, value, *expected) in enumerate(table("Example: what counts"), 1):
        for times, kind, each in re.findall(r"(\d+) x (\w+) (-?[\d.]+)", deeds):
            UserAction.objects.bulk_create(
                UserAction(
                    user_id=user_id,
                    action_type=kind,
                    value=Decimal(each),
                    action_timestamp=NOW - timedelta(days=1),
                    order_id="A-1" if "one order" in deeds else None,
                )
                for _ in range(int(times))
            )
        publish_rfm_policy(**content | {field: json.loads(value)})
        segment = scores()[user_id]
        assert [str(segment.frequency), f"{segment.monetary:.2f}", segment.rfm_group] == expected, deeds


def test_the_examples_of_gone_users() -> None:
    rows = table("Example: gone users")
    first = RfmPolicy.objects.active()
    rule = json.loads(fenced("Rules about the whole history", "json"))
    content = {field: getattr(first, field) for field in RfmPolicy.CONTENT}
    publish_rfm_policy(**content | {"rules": [*first.rules[:2], rule, first.rules[2]]})
    for user_id, (deeds, age, _) in enumerate(rows, 1):
        times, _, value = deeds.partition(" x ")
        act(user_id, int(times), value, span(age))
    assert [segment.rfm_group for _, segment in sorted(scores().items())] == [group for *_, group in rows]


@pytest.mark.parametrize(("title", "preset"), [("Ten groups", TEN), ("Five groups", FIVE)])
def test_the_presets_are_those_in_the_tables(title: str, preset: Preset) -> None:
    groups = [[group.name, ", ".join(map(str, group.least)), group.meaning] for group in preset.groups]
    assert groups == table(title)


def test_the_fields_of_the_first_policy_are_those_in_the_table() -> None:
    policy = RfmPolicy.objects.get(revision=1)
    for field, _, value in table("What counts"):
        shown = getattr(policy, field.strip("`"))
        assert value.split(" (")[0] in (json.dumps(shown), shown)


def effort(effort: dict[str, object] | None) -> str:
    """As the table writes it."""
    return "-" if effort is None else f"{effort['actions']} action{'s' * (effort['actions'] != 1)}, {effort['value']}"


@pytest.fixture
def users_of_the_outlooks() -> list[list[str]]:
    rows = table("Example: outlooks")
    for user_id, (deeds, *_) in enumerate(rows, 1):
        for times, value, days in GROUP_OF_ACTIONS.findall(deeds):
            act(user_id, int(times), value, timedelta(days=int(days)))
    return rows


@time_machine.travel(NOW, tick=False)
def test_the_examples_of_outlooks(users_of_the_outlooks: list[list[str]]) -> None:
    for user_id, (_, *expected) in enumerate(users_of_the_outlooks, 1):
        body = get(f"user-segments/{user_id}/outlook").json()
        shown = [body["rfm_group"], body["leaves_on"] or "-", body["falls_to"] or "-"]
        assert [*shown, effort(body["to_stay"]), effort(body["to_rise"])] == expected, f"user {user_id}"
    whole = json.loads(fenced("Example: outlooks", "json"))
    assert get(f"user-segments/{whole['user_id']}/outlook").json() == whole


@time_machine.travel(NOW, tick=False)
def test_the_forecast_of_the_same_users(users_of_the_outlooks: list[list[str]]) -> None:
    out = io.StringIO()
    call_command("forecast_exits", "--group", "Whale", "--days", "7", stdout=out, stderr=io.StringIO())
    assert out.getvalue() == fenced("The same for a whole group", "csv")
