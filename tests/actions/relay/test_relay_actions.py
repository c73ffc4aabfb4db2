"""manage.py relay_actions, and the relay thread of a web process."""

import signal
import subprocess

import pytest

from tests.actions.outbox import delivered, record, waiting
from tests.support.deployment import Stack
from tests.support.manage_process import Running, start
from tests.support.os_processes import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("kafka")]
LEAD_UNTIL_KILLED = """
import sys, time
from ccweb.db import leader_election
from ccweb.db.leader_election import Lead
leader_election.SESSION_TIMEOUT_SECONDS = 600  # else a busy machine costs it the lead
lead = Lead("relay")
assert lead.hold()
print("leads", flush=True)
while lead.hold():
    time.sleep(0.1)
"""
FORK_WITH_A_LIVE_RELAY = """
import os, sys, time
import ccweb.wsgi
sys.stdin.readline()  # the parent has delivered: its producer, threads and sessions are alive
if os.fork():
    os._exit(0)
sys.stdin.read()
"""


def test_once_empties_the_outbox_and_prints_the_counts(stack: Stack) -> None:
    ids = record(stack, 7, 7, 7)
    done = stack.manage("relay_actions", "--once")
    assert done.stdout == "relay_actions: delivered 3, quarantined 0, waiting 0\n"
    assert delivered(stack, ids) == ids


def test_once_ends_at_once_when_no_message_is_waiting(stack: Stack) -> None:
    assert "delivered 0" in stack.manage("relay_actions", "--once").stdout


def test_once_waits_until_it_leads(stack: Stack) -> None:
    ids = record(stack, 7)
    with start(stack, "shell", "-v0", "-c", LEAD_UNTIL_KILLED) as holder:
        assert holder.line() == "leads\n"
        with start(stack, "relay_actions", "--once") as relay:
            with pytest.raises(subprocess.TimeoutExpired):
                relay.wait(3)
            assert waiting(stack) == 1
            holder.kill()
            assert relay.finished()[0] == "relay_actions: delivered 1, quarantined 0, waiting 0\n"
    assert delivered(stack, ids) == ids


def test_once_ends_when_another_relay_empties_the_outbox(stack: Stack) -> None:
    with start(stack, "relay_actions") as relay:
        ids = record(stack, 7)
        stack.manage("relay_actions", "--once")
        assert delivered(stack, ids) == ids
        relay.end()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_running_relay_publishes_new_messages_and_ends_cleanly(stack: Stack, signum: signal.Signals) -> None:
    with start(stack, "relay_actions") as relay:
        ids = record(stack, 7, 8) + record(stack, 7)
        wait_for(lambda: waiting(stack) == 0, "the delivery")
        assert relay.end(signum)[0] == "relay_actions: delivered 3, quarantined 0, waiting 0\n"
    assert sorted(delivered(stack, ids)) == sorted(ids)


@pytest.mark.long
def test_the_next_relay_takes_over_from_a_killed_one(stack: Stack) -> None:
    with start(stack, "relay_actions") as first, start(stack, "relay_actions") as second:
        record(stack, 7)
        wait_for(lambda: waiting(stack) == 0, "the first delivery")
        first.kill()  # whether it leads or not, the other has to take over
        ids = record(stack, 7)
        wait_for(lambda: waiting(stack) == 0, "the second delivery")
        second.end()
    assert delivered(stack, ids) == ids


def test_the_relay_of_a_web_process_survives_a_fork(stack: Stack) -> None:
    web = stack.environment | {"RELAY_IN_WEB": "1", "DJANGO_SETTINGS_MODULE": "ccweb.settings"}
    with Running(["-c", FORK_WITH_A_LIVE_RELAY], web) as parent:
        record(stack, 7)
        wait_for(lambda: waiting(stack) == 0, "the delivery by the parent")
        parent.tell("fork")
        parent.wait(120)
        ids = record(stack, 7)
        wait_for(lambda: waiting(stack) == 0, "the delivery by the child")
        assert parent.stdin is not None
        parent.stdin.close()  # which ends the child
    assert delivered(stack, ids) == ids


def test_a_relay_without_a_database_ends_cleanly_and_prints_the_counts_it_has(stack: Stack) -> None:
    unreachable = "postgres://nobody@127.0.0.1:9/none"
    with start(stack, "relay_actions", "--skip-checks", DATABASE_URL=unreachable) as relay:
        assert relay.stderr is not None
        assert "the relay is blocked" in relay.stderr.readline()
        assert relay.end()[0] == "relay_actions: delivered 0, quarantined 0, waiting unknown\n"
