"""Chromium, signed in as staff, on a live server of this process."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.services import lack

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1280,1000")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser that keeps its console's messages."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        lack("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, Service(driver)) as browser:
        yield browser


@pytest.fixture
def staff_browser(chromium: webdriver.Chrome, live_server: LiveServer, admin_user: Any) -> Iterator[webdriver.Chrome]:
    """The browser, signed in; open pages by live_server.url."""
    client = Client()
    client.force_login(admin_user)
    chromium.get(f"{live_server.url}/healthz")  # a cookie needs a page of its site
    chromium.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})
    yield chromium
    chromium.delete_all_cookies()
