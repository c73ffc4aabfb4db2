"""Chromium on the admin: of a server in this process, and of the deployed processes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.test import Client
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver

from tests.browser.driving import Hand, complaints, start_chromium
from tests.support.deployment import Stack
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import need

PASSWORD = "only for this test"
HIRE = f"""
from django.contrib.auth.models import Group, User
for role in ("viewer", "analyst", "operator"):
    User.objects.create_user(role, password="{PASSWORD}", is_staff=True).groups.add(Group.objects.get(name=role))
"""


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser saves files."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[webdriver.Chrome]:
    """A browser that keeps its console's messages."""
    with need(lambda: start_chromium(tmp_path_factory.mktemp("chromium"), downloads)) as browser:
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


@pytest.fixture
def deployed(fresh_database: str, redis_client: redis.Redis) -> Iterator[Stack]:
    """The web process on PostgreSQL and Redis, with one of the staff a role."""
    redis_url = os.environ["REDIS_URL"]
    with Stack(database_url=fresh_database, redis_url=redis_url, kafka_broker=CLOSED, RELAY_IN_WEB="0") as stack:
        stack.web.start()
        stack.manage("shell", "-c", HIRE)
        yield stack


@pytest.fixture
def query(deployed: Stack) -> Iterator[Callable[..., list[tuple]]]:
    """Queries of the database that bypass our code."""
    with psycopg.connect(deployed.database_url, autocommit=True) as connection:
        yield lambda sql, *values: connection.execute(sql, values).fetchall()


@pytest.fixture
def role(chromium: webdriver.Chrome, deployed: Stack) -> Iterator[Callable[[str], Hand]]:
    """Signs a user in by name, such as the viewer."""

    def sign_in(name: str) -> Hand:
        complaints(chromium)  # discard those of earlier tests
        hand = Hand(chromium, deployed.url)
        hand.sign_in(name, PASSWORD)
        return hand

    yield sign_in
    chromium.delete_all_cookies()
    chromium.get("about:blank")
