"""The pages work under a policy without inline script and style: the browser has nothing to complain about."""

from base64 import b32decode
from typing import Any

import pytest
from django_otp.oath import totp
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.driving import Hand, complaints

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SECONDS = 120


def wait(browser: webdriver.Chrome, selector: str) -> Any:
    return WebDriverWait(browser, SECONDS).until(lambda page: page.find_elements(By.CSS_SELECTOR, selector))


def test_the_admin_works_under_the_policy(staff_browser: webdriver.Chrome, live_server: LiveServer) -> None:
    for path in ("", "actions/useraction/", "api/apikey/", "api/apikey/add/", "auth/user/add/", "password_change/"):
        staff_browser.get(f"{live_server.url}/admin/{path}")
        wait(staff_browser, "#site-name")
        assert complaints(staff_browser) == [], path


def test_a_second_factor_is_set_up_and_asked_for_under_the_policy(
    chromium: webdriver.Chrome, live_server: LiveServer, admin_user: Any, settings: Settings
) -> None:
    settings.ADMIN_REQUIRE_OTP = True
    hand = Hand(chromium, live_server.url)
    complaints(chromium)
    hand.sign_in(admin_user.username, "password")
    secret = hand.text("#secret").replace(" ", "")
    assert chromium.execute_script("return document.querySelector('.qr').naturalWidth") > 100
    hand.write("#id_code", f"{totp(b32decode(secret)):06}")
    hand.press("#code-form [type=submit]")
    recovery = hand.text("#recovery-codes code")
    hand.press("a.button")
    assert hand.text("#user-tools").lower().startswith(f"welcome, {admin_user.username}")
    hand.press("#logout-form button")
    hand.sign_in(admin_user.username, "password")
    hand.write("#id_code", recovery)
    hand.press("#code-form [type=submit]")
    assert "9 are left" in hand.text(".messagelist")
    assert complaints(chromium) == []
    chromium.delete_all_cookies()


def test_swagger_ui_calls_the_api_under_the_policy(staff_browser: webdriver.Chrome, live_server: LiveServer) -> None:
    staff_browser.get(f"{live_server.url}/api/docs")
    wait(staff_browser, "#operations-actions-actions_list .opblock-summary-control")[0].click()
    wait(staff_browser, ".try-out__btn")[0].click()
    wait(staff_browser, ".execute")[0].click()
    assert wait(staff_browser, ".live-responses-table .response-col_status")[-1].text.startswith("200")
    assert complaints(staff_browser) == []


def test_the_browser_does_complain_about_an_inline_script(
    staff_browser: webdriver.Chrome, live_server: LiveServer
) -> None:
    staff_browser.get(f"{live_server.url}/admin/")
    staff_browser.execute_script(
        "const s = document.createElement('script'); s.textContent = '1'; document.head.append(s)"
    )
    assert len(complaints(staff_browser)) == 1
