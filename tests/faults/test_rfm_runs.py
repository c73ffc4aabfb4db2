"""RFM runs that are concurrent, frozen, killed or fail: rows 30, 32 and 33 of docs/promises.md."""

import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import psycopg
import pytest

from tests.support.deployment import ROOT, Stack
from tests.support.os_processes import wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import create_database

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.xdist_group("rfm runs")]

ACTIONS = """
INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
SELECT gen_random_uuid(), 1 + n % 500, 'x', n % 37, timestamptz '2026-03-01 02:00Z' - n * interval '11 min', now()
FROM generate_series(0, 4999) n"""
SEGMENTS = """
SELECT md5(string_agg((user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary,
    last_action_at)::text, '|' ORDER BY user_id)) FROM user_segments"""
CHANGES = "SELECT md5(string_agg((user_id, from_group, to_group)::text, '|' ORDER BY id)) FROM segment_changes"
NEXT = "compute_rfm", "--as-of=2026-03-05T02:00:00Z"
# The lock on the right blocks a run at the point on the left.
POINTS = {
    "before it reads": "LOCK TABLE user_segments IN ACCESS EXCLUSIVE MODE",
    "while it writes changes": "LOCK TABLE segment_changes IN SHARE MODE",
    "while it writes rows": "LOCK TABLE user_segments IN SHARE MODE",
    "before it commits": "LOCK TABLE rfm_runs IN SHARE MODE",
}


class Prepared(NamedTuple):
    """The name of a database to be copied, and the state of its tables after the next run."""

    database: str
    goal: list[tuple]


@pytest.fixture(scope="module")
def prepared(postgresql_server: str, migrated_database: str) -> Prepared:
    """5,000 actions of 500 users, and a first run; the next run was made on a copy."""
    name = f"prepared_{uuid.uuid4().hex}"
    with on(create_database(postgresql_server, name, migrated_database)) as stack:
        with session(stack) as database:
            database.execute(ACTIONS)
        stack.manage("compute_rfm", "--as-of=2026-03-01T02:00:00Z")
        before = state_of(stack)
    with on(create_database(postgresql_server, f"{name}_next", name)) as stack:
        assert state_of(stack) == before
        stack.manage(*NEXT)
        goal = state_of(stack)
    assert before != goal
    return Prepared(name, goal)


@pytest.fixture
def stack(postgresql_server: str, prepared: Prepared) -> Iterator[Stack]:
    """A copy of the database for each test."""
    name = f"test_{uuid.uuid4().hex}"
    with on(create_database(postgresql_server, name, prepared.database)) as stack:
        yield stack


def on(url: str) -> Stack:
    return Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED)


@contextmanager
def session(stack: Stack) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(stack.database_url, autocommit=True)) as connection:
        yield connection


def ask(stack: Stack, query: str) -> list[tuple]:
    with session(stack) as database:
        return database.execute(query).fetchall()


def start(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=stack.environment | {"HOME": str(stack.web.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def waits_for_a_lock(stack: Stack, table: str = "") -> bool:
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    of = f"AND relation = '{table}'::regclass" if table else ""
    return bool(ask(stack, f"SELECT 1 FROM pg_locks WHERE NOT granted AND {here} {of}"))


@contextmanager
def stopped_at(stack: Stack, lock: str) -> Iterator[subprocess.Popen[str]]:
    """A run of a later day that waits for a lock until the block ends."""
    with session(stack) as holder, holder.transaction():
        if "rfm_runs" in lock:  # it also writes there first: take the lock while the run is blocked at another point
            with stopped_at(stack, POINTS["while it writes rows"]) as run:
                holder.execute(lock)
            wait_for(lambda: waits_for_a_lock(stack, "rfm_runs"), "the run to wait for the lock")
        else:
            holder.execute(lock)
            run = start(stack, *NEXT)
            wait_for(lambda: waits_for_a_lock(stack), "the run to wait for the lock")
        yield run


def statuses(stack: Stack) -> list[str]:
    return [status for (status,) in ask(stack, "SELECT status FROM rfm_runs ORDER BY id")]


def state_of(stack: Stack) -> list[tuple]:
    return [*ask(stack, SEGMENTS), *ask(stack, CHANGES)]


@pytest.fixture
def goal(prepared: Prepared) -> list[tuple]:
    """The state of the tables after the next run."""
    return prepared.goal


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_leaves_everything_as_it_was_and_its_rerun_ends_the_same(
    stack: Stack, goal: list[tuple], point: str
) -> None:
    before = state_of(stack)
    with stopped_at(stack, POINTS[point]) as run:
        run.kill()
        run.wait(120)
        wait_for(lambda: not waits_for_a_lock(stack), "the server to notice the end")
    assert state_of(stack) == before
    stack.manage(*NEXT)
    assert state_of(stack) == goal
    assert statuses(stack) == ["done", "failed", "done"]
    assert ask(stack, "SELECT error FROM rfm_runs WHERE id = 2")[0][0].startswith("The process ended before")


def test_readers_see_the_old_rows_until_the_commit(stack: Stack, goal: list[tuple]) -> None:
    before = state_of(stack)
    with stopped_at(stack, POINTS["before it commits"]) as run:
        assert state_of(stack) == before
    assert run.wait(120) == 0
    assert state_of(stack) == goal


def test_of_two_concurrent_runs_one_works_and_the_other_reports_it(stack: Stack, goal: list[tuple]) -> None:
    with stopped_at(stack, POINTS["while it writes rows"]) as run:
        other = stack.manage(*NEXT, check=False)
        assert other.returncode == 75
        assert "another RFM run is in progress: nothing was done" in other.stderr
        assert statuses(stack) == ["done", "running"]
    assert run.wait(120) == 0
    assert state_of(stack) == goal
    assert statuses(stack) == ["done", "done"]


def test_a_run_that_froze_cannot_commit_after_another_took_over(stack: Stack, goal: list[tuple]) -> None:
    with stopped_at(stack, POINTS["while it writes rows"]) as run:
        run.send_signal(signal.SIGSTOP)
    # The server ends the idle session after 10 s.
    wait_for(lambda: stack.manage(*NEXT, check=False).returncode == 0, "the frozen run's session to end")
    run.send_signal(signal.SIGCONT)
    assert run.wait(120) == 1
    assert run.stderr is not None and "all segments are unchanged" in run.stderr.read()
    assert state_of(stack) == goal
    assert statuses(stack) == ["done", "failed", "done"]


def test_a_failed_run_is_reported_and_leaves_all_segments_unchanged(stack: Stack, goal: list[tuple]) -> None:
    before = state_of(stack)
    with session(stack) as database:
        database.execute("ALTER TABLE user_segments ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    failed = stack.manage(*NEXT, check=False)
    assert failed.returncode == 1
    assert "the run failed, all segments are unchanged" in failed.stderr and "full_disk" in failed.stderr
    assert state_of(stack) == before
    assert statuses(stack) == ["done", "failed"]
    assert "full_disk" in ask(stack, "SELECT error FROM rfm_runs WHERE id = 2")[0][0]
    with session(stack) as database:
        database.execute("ALTER TABLE user_segments DROP CONSTRAINT full_disk")
    stack.manage(*NEXT)
    assert state_of(stack) == goal


@pytest.mark.parametrize("rounds", [20])
def test_three_daily_runs_started_at_once_are_one(stack: Stack, rounds: int) -> None:
    daily = "shell", "-v0", "-c", "from segments.schedule.jobs import run_daily; run_daily()"
    done = "SELECT kind FROM rfm_runs WHERE status = 'done' AND kind = 'daily'"
    for _ in range(rounds):
        assert [run.wait(120) for run in [start(stack, *daily) for _ in range(3)]] == [0, 0, 0]
        assert ask(stack, done) == [("daily",)]
        ask(stack, "DELETE FROM segment_changes WHERE run_id > 1 RETURNING id")
        ask(stack, "DELETE FROM rfm_runs WHERE id > 1 RETURNING id")


def test_an_action_whose_transaction_outlives_a_run_is_not_missed(stack: Stack) -> None:
    late = """INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
        SELECT gen_random_uuid(), {user}, 'x', 1, timestamptz '2025-06-01Z', now() FROM generate_series(1, {times})"""
    with session(stack) as writer, session(stack) as others:
        others.execute(late.format(user=600, times=1))
        with writer.transaction():
            writer.execute(late.format(user=601, times=1))
            # More later ids than the overlap.
            others.execute(late.format(user=602, times=20_000))
            stack.manage(*NEXT)
        stack.manage(*NEXT)
        stack.manage(*NEXT)
    assert ask(stack, "SELECT user_id FROM user_segments WHERE user_id >= 600 ORDER BY 1") == [(600,), (601,), (602,)]
    seen = ask(stack, "SELECT seen_action_id FROM rfm_runs ORDER BY id DESC LIMIT 1")
    assert seen > [(10_000,)]  # later runs read only new actions
