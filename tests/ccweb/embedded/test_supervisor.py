"""The one reader of the Procfile. What else the supervisor does is tested as a whole, in test_up.py."""

import json
import sys
from contextlib import closing

import pytest

from ccweb.embedded.supervisor import procfile
from tests.support.deployment import ROOT, Program


def test_the_procfile_is_read_with_its_variables() -> None:
    commands = procfile({"PORT": "8123"})
    assert list(commands) == ["web", "relay", "scheduler"]
    assert commands["web"][commands["web"].index("--port") + 1] == "8123"
    assert commands["relay"] == ["python", "manage.py", "relay_actions"]


def test_a_missing_variable_is_an_error() -> None:
    with pytest.raises(KeyError, match="PORT"):
        procfile({})


def test_the_image_starts_the_web_process_as_the_tests_do() -> None:
    with closing(Program("web", {})) as program:
        started = program._command()
    image = json.loads((ROOT / "Dockerfile").read_text().rpartition("CMD ")[2])
    assert [sys.executable, *image[1:]] == started
