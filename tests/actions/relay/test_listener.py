"""Writers notify an idle relay, and no busy one."""

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
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 600.0)  # else a busy machine may end its leadership
    lead = Lead("test")
    assert lead.hold()
    yield lead
    lead.release()


@pytest.fixture
def subscriber() -> Iterator[psycopg.Connection]:
    with connect() as session:
        session.execute("SET idle_session_timeout = 0")
        session.execute(f"LISTEN {CHANNEL}")
        yield session


def notifications(subscriber: psycopg.Connection) -> int:
    return len(list(subscriber.notifies(timeout=0.3)))


def idle_listener(lead: Lead) -> NotifyListener:
    assert isinstance(lead.lock, SessionLock)
    listener = NotifyListener(lead.lock)
    wait_for(lambda: listener.wait() or listener._idle, "the relay to become idle")
    return listener


def test_a_busy_relay_is_not_notified(lead: Lead, subscriber: psycopg.Connection) -> None:
    post("actions", ACTION)
    assert notifications(subscriber) == 0


def test_an_idle_relay_is_notified_of_a_write(lead: Lead, subscriber: psycopg.Connection) -> None:
    idle_listener(lead)
    post("actions", ACTION)
    assert notifications(subscriber) == 1


def test_a_relay_that_found_rows_is_not_notified_again(lead: Lead, subscriber: psycopg.Connection) -> None:
    idle_listener(lead).rows_found()
    post("actions", ACTION)
    assert notifications(subscriber) == 0


def test_a_relay_does_not_become_idle_while_a_write_is_in_progress(lead: Lead) -> None:
    """Otherwise it would miss rows that were written before its last read and committed after it."""
    assert isinstance(lead.lock, SessionLock)
    listener = NotifyListener(lead.lock)
    connection.set_autocommit(False)
    post("actions", ACTION)
    for _ in range(50):
        listener.wait()
    assert not listener._idle
    connection.commit()
    connection.set_autocommit(True)
    wait_for(lambda: listener.wait() or listener._idle, "the relay to become idle")


def test_a_relay_that_leads_again_can_be_notified(lead: Lead, subscriber: psycopg.Connection) -> None:
    listener = idle_listener(lead)
    lead.release()
    post("actions", ACTION)
    assert lead.hold()
    assert notifications(subscriber) == 0
    wait_for(lambda: listener.wait() or listener._idle, "the relay to become idle")
    post("actions", ACTION)
    assert notifications(subscriber) == 1
