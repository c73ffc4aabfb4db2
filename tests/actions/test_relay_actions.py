"""manage.py relay_actions, and the relay thread of a web process."""

import signal
import subprocess
import sys

import pytest

from actions.models import TOPIC
from tests.deployment import Deployment, Running
from tests.processes import wait_for
from tests.topics import messages

pytestmark = pytest.mark.stack
HOLD_THE_LEAD = """
import sys, time
from ccweb.api.leadership import Lead
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


def arrived(deployment: Deployment, event_ids: list[str]) -> list[str]:
    """Those of the ids that are in Kafka, in the order of arrival, duplicates included."""
    found = messages(deployment.broker, TOPIC)
    ids = [dict(message.headers() or [])["event_id"].decode() for message in found]
    return [event_id for event_id in ids if event_id in event_ids]


def test_once_empties_the_outbox_and_says_so(deployment: Deployment) -> None:
    ids = deployment.record(7, 7, 7)
    out, _ = deployment.manage("relay_actions", "--once")
    assert out == "relay_actions: delivered 3, quarantined 0, waiting 0\n"
    assert arrived(deployment, ids) == ids


def test_once_ends_at_once_when_nothing_waits(deployment: Deployment) -> None:
    assert "delivered 0" in deployment.manage("relay_actions", "--once")[0]


def test_once_waits_for_the_lead(deployment: Deployment) -> None:
    ids = deployment.record(7)
    with deployment.start("shell", "-v0", "-c", HOLD_THE_LEAD) as holder:
        assert holder.line() == "leads\n"
        with deployment.start("relay_actions", "--once") as relay:
            with pytest.raises(subprocess.TimeoutExpired):
                relay.wait(3)
            assert deployment.waiting() == 1
            holder.kill()
            assert relay.finished()[0] == "relay_actions: delivered 1, quarantined 0, waiting 0\n"
    assert arrived(deployment, ids) == ids


def test_once_ends_when_another_relay_empties_the_outbox(deployment: Deployment) -> None:
    with deployment.start("relay_actions") as relay:
        ids = deployment.record(7)
        deployment.manage("relay_actions", "--once")
        assert arrived(deployment, ids) == ids
        relay.end()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_running_relay_delivers_what_comes_and_ends_cleanly(deployment: Deployment, signum: signal.Signals) -> None:
    with deployment.start("relay_actions") as relay:
        ids = deployment.record(7, 8) + deployment.record(7)
        wait_for(lambda: deployment.waiting() == 0, "the delivery", 30)
        assert relay.end(signum)[0] == "relay_actions: delivered 3, quarantined 0, waiting 0\n"
    assert sorted(arrived(deployment, ids)) == sorted(ids)


def test_the_next_relay_takes_over_from_a_killed_one(deployment: Deployment) -> None:
    with deployment.start("relay_actions") as first, deployment.start("relay_actions") as second:
        deployment.record(7)
        wait_for(lambda: deployment.waiting() == 0, "the first delivery", 30)
        first.kill()  # whichever leads; the other has to go on
        ids = deployment.record(7)
        wait_for(lambda: deployment.waiting() == 0, "the second delivery", 30)
        second.end()
    assert arrived(deployment, ids) == ids


def test_the_relay_of_a_web_process_survives_a_fork(deployment: Deployment) -> None:
    web = deployment.environment | {"RELAY_IN_WEB": "1", "DJANGO_SETTINGS_MODULE": "ccweb.settings"}
    with Running([sys.executable, "-c", FORK_WITH_A_LIVE_RELAY], web) as parent:
        deployment.record(7)
        wait_for(lambda: deployment.waiting() == 0, "the delivery by the parent", 30)
        parent.tell("fork")
        parent.wait(30)
        ids = deployment.record(7)
        wait_for(lambda: deployment.waiting() == 0, "the delivery by the child", 30)
        assert parent.stdin is not None
        parent.stdin.close()  # which ends the child
    assert arrived(deployment, ids) == ids
