"""DEBUG is off unless it is asked for, and then it answers nobody who came through a proxy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from ccweb.embedded.supervisor import procfile

ROOT = Path(__file__).parents[2]
NOTHING_SET = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CCWEB_IGNORE_LOCAL": "1"}
ONE_LINE = "ccweb: environment variable SECRET_KEY is missing: with DEBUG off it must be set\n"


@pytest.mark.stack
@pytest.mark.parametrize("process", ["web", "relay", "scheduler"])
def test_without_a_secret_key_a_process_ends_with_one_line(process: str) -> None:
    command = procfile({"PORT": "8001"})[process]
    done = subprocess.run(command, cwd=ROOT, env=NOTHING_SET, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, ONE_LINE)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"],
)
def test_with_debug_what_came_through_a_proxy_is_refused(settings: Settings, name: str) -> None:
    settings.API_IS_OPEN = True
    for path in ("/api/user-segments/7/recommendation", "/admin/login/"):
        answer = Client().get(path, headers={name: "127.0.0.1"})
        assert (answer.status_code, name.lower() in answer.json()["detail"].lower()) == (403, True)
    assert Client().get("/healthz", headers={name: "127.0.0.1"}).status_code == 200


@pytest.mark.django_db
def test_with_debug_another_host_name_is_refused(settings: Settings) -> None:
    """A name that leads to this machine is a proxy's, or one that an attacker's DNS has rebound."""
    settings.API_IS_OPEN = True
    assert Client().get("/api/actions", headers={"Host": "shop.example.com"}).status_code == 400
    assert Client().get("/api/actions", headers={"Host": "localhost:8000"}).status_code == 200
