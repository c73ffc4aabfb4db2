"""Longer browser tests: every page for every role, old revisions, the kill switch."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.browser.driving import Hand, complaints
from tests.ccweb.staff.test_rights import HIDDEN, MAY_ADD, ROLES, VIEWED
from tests.support.deployment import Stack

pytestmark = [pytest.mark.browser, pytest.mark.stack, pytest.mark.long]
Query = Callable[..., list[tuple]]
Role = Callable[[str], Hand]


def path_of(table: str) -> str:
    """The list of app_model."""
    app, _, model = table.rpartition("_")
    return f"/admin/{app}/{model}/"


@pytest.mark.parametrize("name", ROLES)
def test_every_page_opens_without_a_complaint_of_the_browser(role: Role, deployed: Stack, name: str) -> None:
    at = datetime.now(UTC).isoformat()
    deployed.call("POST", "/api/actions", {"user_id": 7, "action_type": "x", "action_timestamp": at})
    deployed.manage("compute_rfm")
    hand = role(name)
    adds = [f"{path_of(table)}add/" for table, roles in MAY_ADD.items() if name in roles]
    for path in ["/admin/", "/admin/users/7/", "/admin/users/8/", *map(path_of, VIEWED), *adds]:
        hand.open(path)
        assert hand.has("#site-name") and not hand.has("#id_password"), path
        assert complaints(hand.browser) == [], path
    for path in map(path_of, HIDDEN):
        hand.open(path)
        assert "403" in hand.text("body"), path


def test_an_old_revision_comes_back_with_one_press(role: Role, query: Query) -> None:
    analyst = role("analyst")
    analyst.open("/admin/segments/rfmpolicy/add/")
    analyst.write("#id_frequency_cuts", "[1, 1, 2, 2]")
    analyst.press("[name=_preview]")
    analyst.press("[name=_publish]")
    analyst.open("/admin/segments/rfmpolicy/1/change/")
    analyst.press("form[action$='/again/'] [type=submit]")
    assert query("SELECT frequency_cuts::text, note, created_by FROM rfm_policies WHERE active") == [
        ("[3, 3, 10, 10]", "Back to revision 1.", "analyst")
    ]


def test_the_kill_switch_is_engaged_and_released(role: Role, deployed: Stack) -> None:
    def answer() -> tuple[float, str]:
        body = deployed.call("GET", "/api/user-segments/7/recommendation").json()
        return body["recommended_reward_probability"], body["recommended_time_window"]

    before, operator = answer(), role("operator")
    operator.open("/admin/segments/killswitch/add/")
    operator.write("#id_probability", "0.05")
    operator.write("#id_note", "accounts are shared")
    operator.press("[name=_save]")
    operator.wait(lambda: answer() == (0.05, "any time"), "the switch to work in every process")
    operator.open("/admin/segments/killswitch/")
    operator.press("form[action$='/release/'] button")
    operator.wait(lambda: answer() == before, "the policy to answer again")
