"""Scheduler processes that are killed, frozen or stopped: rows 30 and 31 of docs/promises.md."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from tests.support.deployment import Program, Stack
from tests.support.os_processes import wait_for
from tests.support.pytest_plugin import CLOSED

pytestmark = [pytest.mark.stack, pytest.mark.long]
LEADS = "scheduler: this process leads"


@pytest.fixture
def stack(fresh_database: str) -> Iterator[Stack]:
    with Stack(database_url=fresh_database, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED) as stack:
        yield stack


def ask(stack: Stack, query: str) -> list[tuple]:
    with closing(psycopg.connect(stack.database_url, autocommit=True)) as connection:
        return connection.execute(query).fetchall()


def done(stack: Stack) -> list[str]:
    return [kind for (kind,) in ask(stack, "SELECT kind FROM rfm_runs WHERE status = 'done' ORDER BY id")]


def leads(scheduler: Program) -> bool:
    return LEADS in scheduler.log.read_text()


def scheduler(stack: Stack) -> Program:
    return stack.program("scheduler").start()


def test_a_stand_by_takes_over_from_a_killed_scheduler(stack: Stack) -> None:
    first = scheduler(stack)
    wait_for(lambda: done(stack) == ["daily", "startup"], "the first runs")
    second = scheduler(stack)
    wait_for(lambda: "this one waits" in second.log.read_text(), "the stand-by")
    first.kill()
    wait_for(lambda: leads(second), "the stand-by to lead")
    # One daily run per day whichever leads, and one startup run per process.
    wait_for(lambda: done(stack) == ["daily", "startup", "startup"], "the second's first run")


def test_a_frozen_scheduler_loses_leadership_and_stands_by_when_it_resumes(stack: Stack) -> None:
    first, second = scheduler(stack), None
    wait_for(lambda: done(stack) == ["daily", "startup"], "the first runs")
    first.freeze()
    second = scheduler(stack)
    wait_for(lambda: leads(second), "the second to lead")
    first.thaw()
    wait_for(lambda: "scheduler: this process no longer leads" in first.log.read_text(), "the first to step back")
    wait_for(lambda: done(stack) == ["daily", "startup", "startup"], "the second's first run")
    request = "INSERT INTO rfm_runs (kind, status, cuts, requested_at, requested_by, groups, error) VALUES"
    ask(stack, f"{request} ('requested', 'requested', '{{}}', now(), 'ann', '{{}}', '') RETURNING id")
    wait_for(lambda: done(stack)[3:] == ["requested"], "the requested run")
    for process, says in ((first, "1 daily, 1 startup RFM run(s)"), (second, "1 requested, 1 startup RFM run(s)")):
        process.stop()
        assert process.log.read_text().splitlines()[-1] == f"run_scheduler: stopped after {says}"


def test_the_daily_job_is_stored_with_its_next_run_time(stack: Stack) -> None:
    running = scheduler(stack)
    at = "to_char(next_run_time AT TIME ZONE 'UTC', 'HH24:MI:SS')"
    jobs = f"SELECT id, {at} FROM django_apscheduler_djangojob ORDER BY id"
    wanted = [("compute_rfm_and_update_segments", "02:00:00"), ("prune_executions", "03:00:00")]
    wait_for(lambda: ask(stack, jobs) == wanted, "the jobs")
    running.stop()
    scheduler(stack)
    wait_for(lambda: len(done(stack)) >= 2, "the second start")
    assert ask(stack, jobs) == wanted
