"""Writers ring for a sleeping relay and leave a busy one alone."""

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from actions.models import CHANNEL
from actions.relay.listener import NotifyListener
from ccweb.db import leader_election
from ccweb.db.leader_election import Lead, SessionLock, connect
from tests.support.api_client import post
from tests.support.os_processes import wait_for

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("config.getoption('database') != 'postgresql'", reason="SQLite has no LISTEN and NOTIFY"),
]
ACTION = {"user_id": 7, "action_type": "login"}


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lead]:
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 600.0)  # else a busy machine costs it the lead
    lead = Lead("test")
    assert lead.hold()
    yield lead
    lead.release()


@pytest.fixture
def listener() -> Iterator[psycopg.Connection]:
    with connect() as session:
        session.execute("SET idle_session_timeout = 0")
        session.execute(f"LISTEN {CHANNEL}")
        yield session


def rings(listener: psycopg.Connection) -> int:
    return len(list(listener.notifies(timeout=0.3)))


def asleep(lead: Lead) -> NotifyListener:
    assert isinstance(lead.lock, SessionLock)
    listener = NotifyListener(lead.lock)
    wait_for(lambda: listener.wait() or listener._asleep, "the relay to fall asleep")
    return listener


def test_a_busy_relay_is_not_rung_for(lead: Lead, listener: psycopg.Connection) -> None:
    post("actions", ACTION)
    assert rings(listener) == 0


def test_a_sleeping_relay_is_rung_for_whoever_writes(lead: Lead, listener: psycopg.Connection) -> None:
    asleep(lead)
    post("actions", ACTION)
    assert rings(listener) == 1


def test_a_woken_relay_is_left_alone_again(lead: Lead, listener: psycopg.Connection) -> None:
    asleep(lead).rows_found()
    post("actions", ACTION)
    assert rings(listener) == 0


def test_a_relay_does_not_fall_asleep_while_a_write_is_in_flight(lead: Lead) -> None:
    """Else it would sleep over rows that were written before and committed after it looked."""
    assert isinstance(lead.lock, SessionLock)
    listener = NotifyListener(lead.lock)
    connection.set_autocommit(False)
    post("actions", ACTION)
    for _ in range(50):
        listener.wait()
    assert not listener._asleep
    connection.commit()
    connection.set_autocommit(True)
    wait_for(lambda: listener.wait() or listener._asleep, "the relay to fall asleep")


def test_a_relay_that_won_the_lead_again_can_be_rung_for(lead: Lead, listener: psycopg.Connection) -> None:
    listener = asleep(lead)
    lead.release()
    post("actions", ACTION)
    assert lead.hold()
    assert rings(listener) == 0
    wait_for(lambda: listener.wait() or listener._asleep, "the relay to fall asleep")
    post("actions", ACTION)
    assert rings(listener) == 1
