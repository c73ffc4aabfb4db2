"""The main tasks of each role in the browser, through real processes, compared with the database."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.browser.driving import Hand, complaints
from tests.support.deployment import Stack

pytestmark = [pytest.mark.browser, pytest.mark.stack]
SEGMENTS = "/admin/segments"
Query = Callable[..., list[tuple]]
Role = Callable[[str], Hand]
PURCHASES = {1: 12, 2: 4, 3: 1, 4: 1}  # a Whale, a Medium and two Lows


@pytest.fixture
def population(deployed: Stack) -> None:
    """Four users with purchases of yesterday, scored by a run."""
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    actions = [
        {"user_id": user, "action_type": "purchase", "value": "10.00", "action_timestamp": at}
        for user, count in PURCHASES.items()
        for _ in range(count)
    ]
    assert deployed.call("POST", "/api/actions", actions).status == 201
    deployed.manage("compute_rfm")


def column_texts(hand: Hand, column: str) -> list[str]:
    """A column of the list that is open."""
    return [cell.text for cell in hand.browser.find_elements(By.CSS_SELECTOR, f"#result_list .field-{column}")]


def groups_on_the_overview(hand: Hand) -> dict[str, int]:
    """The figures beside the chart, as they are read."""
    rows = (row.text.split() for row in hand.all("section.wide .bars tr"))
    return {words[0]: int(words[1]) for words in rows}


def test_a_viewer_sees_what_the_tables_hold_and_changes_nothing(
    role: Role, population: None, query: Query, downloads: Path
) -> None:
    viewer = role("viewer")
    assert groups_on_the_overview(viewer) == dict(query("SELECT rfm_group, count(*) FROM user_segments GROUP BY 1"))
    viewer.follow("Whale")
    assert column_texts(viewer, "user_id") == ["1"]
    viewer.open(f"{SEGMENTS}/usersegment/?rfm_group=Low")
    viewer.find("a[href*='export.csv']").click()
    file = viewer.wait(lambda: next(iter(downloads.glob("segments*.csv")), None), "the download")
    with file.open(newline="") as lines:
        exported = [(int(row["user_id"]), int(row["frequency"])) for row in csv.DictReader(lines)]
    file.unlink()
    assert exported == query("SELECT user_id, frequency FROM user_segments WHERE rfm_group = 'Low' ORDER BY 1")
    viewer.open("/admin/users/1/")
    assert viewer.text(".group") == "Whale"
    assert not viewer.has("a[href*='usersegment/1/change']")
    viewer.open(f"{SEGMENTS}/rfmrun/")
    assert not viewer.has("form[action$='/now/']")
    assert not viewer.has(".addlink[href*='add/']")
    assert complaints(viewer.browser) == []
    assert query("SELECT change_message FROM django_admin_log") == [("Segments exported, filter rfm_group=Low.",)], (
        "the export leaves a trace"
    )


def test_an_analyst_decides_by_which_rules_users_are_scored(role: Role, population: None, query: Query) -> None:
    analyst = role("analyst")
    analyst.open(f"{SEGMENTS}/rfmpolicy/add/")
    analyst.write("#id_frequency_cuts", "[1, 1, 4, 4]")
    analyst.write("#id_note", "four are many")
    analyst.press("[name=_preview]")
    assert analyst.text("#preview-summary").startswith("2 of 4 users change their group")
    assert query("SELECT count(*) FROM rfm_policies") == [(1,)], "a preview publishes nothing"
    analyst.press("[name=_publish]")
    assert "is in force" in analyst.text(".success")
    policy = query("SELECT created_by, note, frequency_cuts::text FROM rfm_policies WHERE active")
    assert policy == [("analyst", "four are many", "[1, 1, 4, 4]")]

    analyst.open(f"{SEGMENTS}/recommendationpolicy/add/")
    analyst.write("#id_invariants", '[{"kind": "at_most", "risk_profile": "High-Risk", "probability": "0.5"}]')
    analyst.press("[name=_preview]")
    assert "A user in group Whale, High-Risk" in analyst.text(".errorlist.nonfield")
    assert not analyst.has("[name=_publish]")
    analyst.write("#id_invariants", "[]")
    analyst.write("#id_default_probability", "0.2")
    analyst.press("[name=_preview]")
    assert analyst.text("#preview-summary").startswith("2 of 4 users get another answer")
    analyst.press("[name=_publish]")
    answer = query("SELECT default_probability::text FROM recommendation_policies WHERE active")
    assert answer == [("0.200000",)]

    analyst.open(f"{SEGMENTS}/usersegment/")
    for box in analyst.all("[name=_selected_action]")[:2]:
        box.click()
    analyst.choose("select[name=action]", "Set the risk profile High-Risk")
    analyst.press(".actions [type=submit]")
    changes = query("SELECT user_id, from_profile, to_profile, changed_by FROM risk_changes ORDER BY user_id")
    assert changes == [(1, "Unknown", "High-Risk", "analyst"), (2, "Unknown", "High-Risk", "analyst")]
    assert complaints(analyst.browser) == []
    assert query("SELECT count(*) FROM django_admin_log") == [(3,)]


def test_an_operator_runs_rfm_and_adds_an_action(role: Role, population: None, deployed: Stack, query: Query) -> None:
    operator = role("operator")
    operator.open("/admin/actions/useraction/add/")
    operator.write("#id_user_id", "5")
    operator.write("#id_action_type", "refund")
    operator.write("#id_value", "-3.50")
    operator.press("[name=_save]")
    assert query("SELECT value::text FROM user_actions WHERE user_id = 5") == [("-3.50",)]
    assert query("SELECT count(*) FROM outbox WHERE key = '5'") == [(1,)]

    operator.open(f"{SEGMENTS}/rfmrun/")
    operator.press("form[action$='/now/'] button")
    assert operator.text("#progress").startswith("Waiting for the scheduler")
    address = operator.browser.current_url
    operator.open(f"{SEGMENTS}/rfmrun/")
    operator.press("form[action$='/now/'] button")
    assert "nothing was requested" in operator.text(".messagelist .error"), "one request at a time"
    deployed.program("scheduler").start()
    operator.browser.get(address)
    operator.wait(lambda: operator.text(".field-status .readonly") == "Done", "the run's result on its own page")
    ((run, users),) = query("SELECT id, users FROM rfm_runs WHERE kind = 'requested' AND status = 'done'")
    assert f"/{run}/" in address
    assert (operator.number(".field-users .readonly"), users) == (5, 5)
    operator.open("/admin/")
    assert groups_on_the_overview(operator) == {"Whale": 1, "Medium": 1, "Low": 3}
    assert complaints(operator.browser) == []
    assert not operator.has("a[href$='rfmpolicy/add/']")
