"""The pages work under a policy without inline script and style: the browser has nothing to complain about."""

from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.driving import complaints

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SECONDS = 120


def wait(browser: webdriver.Chrome, selector: str) -> Any:
    return WebDriverWait(browser, SECONDS).until(lambda page: page.find_elements(By.CSS_SELECTOR, selector))


def test_the_admin_works_under_the_policy(staff_browser: webdriver.Chrome, live_server: LiveServer) -> None:
    for path in ("", "actions/useraction/", "api/apikey/", "api/apikey/add/", "auth/user/add/", "password_change/"):
        staff_browser.get(f"{live_server.url}/admin/{path}")
        wait(staff_browser, "#site-name")
        assert complaints(staff_browser) == [], path


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
