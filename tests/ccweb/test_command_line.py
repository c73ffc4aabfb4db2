"""How commands end: when nobody reads their output, as with `| head -1`, and when the database or the disk fails."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import get_commands

from ccweb.command_line import UNREAD_EXIT
from tests.support.deployment import ROOT, Stack
from tests.support.manage_process import start
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import create_database

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("command line")]
ACTIONS = """INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
    SELECT gen_random_uuid(), 7, 'login', 0, now(), now() FROM generate_series(1, 1000)"""
PRINTING = {
    "compute_rfm": ["--dry-run"],
    "create_api_key": ["shop", "--scope", "actions:read"],
    "erase_user": ["8"],
    "explain_user": ["7"],
    "export_user": ["7"],
    "forecast_exits": ["--group", "Whale"],
    "prune_actions": ["--older-than", "9999"],
    "rebuild_streaks": [],
    "check": [],
    "showmigrations": [],
}  # the others print help
OURS = sorted(name for name, app in get_commands().items() if app.startswith(("ccweb", "actions", "segments")))


@pytest.fixture(scope="module")
def stack(postgresql_server: str, migrated_database: str) -> Iterator[Stack]:
    """A thousand actions of user 7."""
    url = create_database(postgresql_server, f"pipe_{uuid.uuid4().hex}", migrated_database)
    with Stack(database_url=url, redis_url=os.environ["REDIS_URL"], kafka_broker=CLOSED) as stack:
        with psycopg.connect(url) as connection:
            connection.execute(ACTIONS)
        yield stack


def run_unread(stack: Stack, *arguments: str) -> tuple[int, str]:
    """The exit code and stderr of a command whose stdout is closed before it writes."""
    with start(stack, *arguments) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        return command.wait(120), command.stderr.read()


def test_an_export_that_is_cut_off_ends_quietly_and_not_as_a_success(stack: Stack) -> None:
    assert run_unread(stack, "export_user", "7") == (UNREAD_EXIT, "")


def test_a_closed_stderr_ends_it_too(stack: Stack) -> None:
    with start(stack, "no_such_command") as command:
        assert command.stderr is not None
        command.stderr.close()
        assert command.wait(120) == UNREAD_EXIT


def shell(stack: Stack, command: str, **variables: str) -> tuple[int, str]:
    """The exit code and stderr of a line of shell, in which $manage is the start of a command."""
    environment = stack.environment | variables | {"manage": f"{sys.executable} manage.py"}
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_without_a_database_it_says_so_in_one_line(stack: Stack) -> None:
    code, err = shell(stack, "$manage explain_user 7", DATABASE_URL=f"postgres://x:y@{CLOSED}/z")
    assert code == 1
    assert err.startswith("ccweb: connection failed: ")
    assert err.count("\n") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("$manage export_user 7 > /dev/full", 1, "ccweb: [Errno 28] No space left on device (--traceback shows where)"),
        ("$manage export_user 7 >&-", 0, "export_user: "),
        ("DATABASE_URL=sqlite:////no/such $manage explain_user 7", 1, "ccweb: unable to open database file"),
        ("DATABASE_URL=sqlite:////no/such $manage explain_user 7 --traceback", 1, "Traceback"),
        ("DEBUG=maybe $manage check", 1, "ccweb: environment variable DEBUG is malformed"),
    ],
)
def test_what_is_wrong_around_it_is_said(stack: Stack, command: str, code: int, said: str) -> None:
    found, err = shell(stack, command)
    assert (found, err[: len(said)]) == (code, said)


@pytest.mark.long
@pytest.mark.parametrize("name", PRINTING)
def test_a_command_ends_quietly(stack: Stack, name: str) -> None:
    code, err = run_unread(stack, name, *PRINTING[name])
    assert code == UNREAD_EXIT
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


@pytest.mark.long
@pytest.mark.parametrize("name", OURS)
def test_the_help_of_every_command_ends_quietly(stack: Stack, name: str) -> None:
    assert run_unread(stack, name, "--help") in [(0, ""), (UNREAD_EXIT, "")]
