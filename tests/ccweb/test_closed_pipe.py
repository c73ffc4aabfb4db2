"""Commands whose output nobody reads any more, as with `| head -1`."""

import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import get_commands

from ccweb.closed_pipe import EXIT_CODE
from tests.support.deployment import Stack
from tests.support.manage_process import start
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import create_database

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("closed pipe")]
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
    assert run_unread(stack, "export_user", "7") == (EXIT_CODE, "")


def test_a_closed_stderr_ends_it_too(stack: Stack) -> None:
    with start(stack, "no_such_command") as command:
        assert command.stderr is not None
        command.stderr.close()
        assert command.wait(120) == EXIT_CODE


@pytest.mark.long
@pytest.mark.parametrize("name", PRINTING)
def test_a_command_ends_quietly(stack: Stack, name: str) -> None:
    code, err = run_unread(stack, name, *PRINTING[name])
    assert code == EXIT_CODE
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


@pytest.mark.long
@pytest.mark.parametrize("name", OURS)
def test_the_help_of_every_command_ends_quietly(stack: Stack, name: str) -> None:
    assert run_unread(stack, name, "--help") in [(0, ""), (EXIT_CODE, "")]
