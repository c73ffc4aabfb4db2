"""One leader per name, on either database, and none that is dead or frozen."""

import os
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

from ccweb.db import leader_election
from ccweb.db.leader_election import PING_INTERVAL_SECONDS, SESSION_TIMEOUT_SECONDS, Lead, SessionLock
from tests.support.os_processes import wait_for

pytestmark = pytest.mark.django_db
on_postgresql = pytest.mark.skipif(
    "config.getoption('database') != 'postgresql'", reason="a file lock has no session to lose"
)
on_sqlite = pytest.mark.skipif("config.getoption('database') != 'sqlite'", reason="PostgreSQL needs no file")


@pytest.fixture(autouse=True)
def long_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine costs nobody the lead; two tests set what is in force."""
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 600.0)


@pytest.fixture
def first() -> Iterator[Lead]:
    lead = Lead("test")
    yield lead
    lead.release()


@pytest.fixture
def second() -> Iterator[Lead]:
    lead = Lead("test")
    yield lead
    lead.release()


def end_session(lead: Lead) -> None:
    assert isinstance(lead.lock, SessionLock)
    assert lead.lock.session is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [lead.lock.session.info.backend_pid])


def test_one_of_two_leads_until_it_lets_go(first: Lead, second: Lead) -> None:
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    first.release()
    assert second.hold()
    assert not first.hold()
    assert (first.terms, second.terms) == (1, 1)


def test_other_names_have_leaders_of_their_own(first: Lead) -> None:
    other = Lead("another")
    assert first.hold()
    assert other.hold()
    other.release()


def test_releasing_what_was_never_held_is_harmless(first: Lead, second: Lead) -> None:
    second.release()
    assert first.hold()
    second.release()
    assert not second.hold()


@on_postgresql
def test_a_leader_that_falls_silent_loses_the_lead(first: Lead, second: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens to a frozen process: its socket stays open, its signs of life stop."""
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", SESSION_TIMEOUT_SECONDS)
    assert first.hold()
    assert not second.hold()
    wait_for(second.hold, "the silent leader to lose the lead", 10 * SESSION_TIMEOUT_SECONDS)
    assert not first.hold()


@on_postgresql
def test_a_leader_that_shows_signs_of_life_keeps_the_lead(
    first: Lead, second: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 2.5)  # so that a sign may be late by 2 s
    for _ in range(6):
        assert first.hold()
        assert not second.hold()
        time.sleep(PING_INTERVAL_SECONDS)
    assert first.terms == 1


@on_postgresql
def test_a_leader_whose_session_is_ended_learns_it_and_may_win_again(first: Lead) -> None:
    assert first.hold()
    end_session(first)
    time.sleep(PING_INTERVAL_SECONDS)
    assert not first.hold()
    assert first.hold()
    assert first.terms == 2


@on_postgresql
def test_an_unreachable_database_is_an_error_and_no_lead(
    first: Lead, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "PORT", "9")
    with pytest.raises(psycopg.OperationalError):
        first.hold()


@on_sqlite
def test_a_forked_process_does_not_keep_the_lead_of_its_parent(first: Lead, second: Lead) -> None:
    assert first.hold()
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    assert not second.hold()  # the child's copy is closed, the parent still leads
    first.release()
    assert second.hold()
    os.write(go[1], b"x")
    os.waitpid(child, 0)
