"""The jobs of the scheduler and their times, with a clock that tests set."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_apscheduler.models import DjangoJob, DjangoJobExecution

from actions.models import UserAction
from ccweb.db.file_lock import FileLock
from segments.models import RfmPolicy, RfmRun
from segments.rfm.run_lock import Busy
from segments.rfm.runs import request_rfm_run
from segments.schedule import jobs
from segments.schedule.jobs import daily_due, daily_is_missing, prune_executions, run_daily, run_requested, run_startup
from segments.schedule.scheduler import Scheduler
from tests.support.os_processes import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def runs() -> list[tuple[str, str, str]]:
    found = RfmRun.objects.order_by("id").values_list("kind", "status", "as_of")
    return [(kind, status, f"{as_of:%Y-%m-%dT%H:%M}" if as_of else "") for kind, status, as_of in found]


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-01T02:00:00Z", "2026-03-01T02:00:00Z"),
        ("2026-03-01T01:59:59.999999Z", "2026-02-28T02:00:00Z"),
        ("2028-03-01T00:00:00Z", "2028-02-29T02:00:00Z"),  # a leap year
        ("2026-03-29T03:30:00+02:00", "2026-03-28T02:00:00Z"),  # the night summer time begins in Europe
        ("2026-10-25T02:30:00+01:00", "2026-10-24T02:00:00Z"),  # the hour that comes twice
        ("2027-01-01T01:00:00Z", "2026-12-31T02:00:00Z"),
    ],
)
def test_the_daily_run_is_due_at_two_utc(now: str, due: str) -> None:
    assert daily_due(datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_there_is_one_daily_run_a_day_even_when_the_clock_is_set_back() -> None:
    with time_machine.travel("2026-03-01T02:00:03Z", tick=True) as clock:
        assert daily_is_missing()
        run_daily()
        run_daily()
        clock.move_to("2026-03-01T02:40:00Z")
        run_daily()
        clock.move_to("2026-03-01T02:00:01Z")
        run_daily()
        assert not daily_is_missing()
    assert runs() == [("daily", "done", "2026-03-01T02:00")]


def test_a_scheduler_that_was_off_for_days_catches_up_with_one_run() -> None:
    with time_machine.travel("2026-03-01T02:00:03Z", tick=True) as clock:
        run_daily()
        clock.move_to("2026-03-04T04:00:00Z")
        assert daily_is_missing()
        run_daily()
    assert runs() == [("daily", "done", "2026-03-01T02:00"), ("daily", "done", "2026-03-04T02:00")]


@pytest.mark.parametrize(
    ("zone", "before", "after", "expected"),
    [
        # 02:00 to 03:00 is left out: the run is at 03:00. Then one that comes twice: the first.
        ("Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T12:00Z", ["2026-03-28T01:00", "2026-03-29T01:00"]),
        ("Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T12:00Z", ["2026-10-24T00:00", "2026-10-25T00:00"]),
        ("America/New_York", "2026-11-01T05:30Z", "2026-11-01T09:00Z", ["2026-10-31T06:00", "2026-11-01T07:00"]),
    ],
)
def test_each_night_of_the_shop_has_one_run(
    zone: str, before: str, after: str, expected: list[str], settings: Any
) -> None:
    settings.SHOP_TIME_ZONE = zone
    moment, end = datetime.fromisoformat(before), datetime.fromisoformat(after)
    while moment <= end:
        with time_machine.travel(moment, tick=False):
            if daily_is_missing():
                run_daily()
        moment += timedelta(minutes=10)
    assert runs() == [("daily", "done", as_of) for as_of in expected]


def test_a_daily_run_never_moves_users_back_behind_a_later_run() -> None:
    with time_machine.travel("2026-03-02T09:00:00Z", tick=True):
        run_startup()
        assert not daily_is_missing()
        run_daily()
    assert [kind for kind, _, _ in runs()] == ["startup"]


def test_a_trial_of_old_data_runs_as_of_their_end(settings: Any) -> None:
    settings.RFM_AS_OF = "DATA"
    end = datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
    UserAction.objects.bulk_create([UserAction(user_id=7, action_type="buy", action_timestamp=end)])
    run_daily()
    run_startup()
    assert not daily_is_missing()
    assert [as_of for *_, as_of in runs()] == ["2011-12-09T02:00", "2011-12-09T12:50"]
    assert RfmRun.objects.done().first().active == 1


def test_a_startup_run_looks_at_what_happened_until_now() -> None:
    before = timezone.now()
    run_startup()
    run = RfmRun.objects.get()
    assert run.as_of and before <= run.as_of <= timezone.now()
    assert (run.kind, run.status) == ("startup", "done")


def test_a_requested_run_has_the_requesters_name_and_policy() -> None:
    request = request_rfm_run(requested_by="ann", policy=RfmPolicy.objects.active())
    with pytest.raises(Busy, match="another requested run waits"):
        request_rfm_run(requested_by="bob")
    run_requested()
    request.refresh_from_db()
    assert (request.status, request.requested_by, request.policy_id) == (
        "done",
        "ann",
        RfmPolicy.objects.active().revision,
    )
    assert request.started_at and request.as_of and request.requested_at <= request.as_of == request.started_at
    assert request_rfm_run(requested_by="bob").status == "requested"


def test_a_requested_run_that_fails_is_not_tried_for_ever() -> None:
    RfmPolicy.objects.update(active=False)
    request_rfm_run(requested_by="ann")
    with pytest.raises(jobs.JobFailed, match="DoesNotExist"):
        run_requested()
    run = RfmRun.objects.get()
    assert (run.status, run.users) == ("failed", None)
    assert "RfmPolicy matching query does not exist" in run.error
    RfmPolicy.objects.update(active=True)


def test_executions_are_forgotten_after_30_days() -> None:
    job = DjangoJob.objects.create(id="compute_rfm_and_update_segments", job_state=b"")
    for days in (29, 31):
        DjangoJobExecution.objects.create(job=job, run_time=timezone.now() - timedelta(days=days))
    prune_executions()
    assert DjangoJobExecution.objects.get().run_time > timezone.now() - timedelta(days=30)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    scheduler = Scheduler()
    scheduler.started_up = True
    yield scheduler
    scheduler.close()


def test_rows_of_an_older_release_keep_their_executions_and_lose_their_pickles(scheduler: Scheduler) -> None:
    for job_id in ("compute_rfm_and_update_segments", "prune_executions"):
        job = DjangoJob.objects.create(
            id=job_id, next_run_time=timezone.now(), job_state=b"pickled by an older release"
        )
        DjangoJobExecution.objects.create(job=job, run_time=timezone.now())
    scheduler.step()
    rows = {job.id: (f"{job.next_run_time:%H:%M:%S}", bytes(job.job_state)) for job in DjangoJob.objects.all()}
    assert rows == {
        "compute_rfm_and_update_segments": ("02:00:00", b""),  # UTC
        "prune_executions": ("03:00:00", b""),
    }
    assert DjangoJobExecution.objects.count() == 2


@pytest.mark.skipif("config.getoption('database') == 'sqlite'", reason="threads collide on SQLite in memory")
def test_a_job_that_ran_is_recorded_with_its_execution_and_its_next_run_time(scheduler: Scheduler) -> None:
    with time_machine.travel("2026-03-01T02:59:58Z", tick=True):
        RfmRun.objects.create(kind="daily", status="done", as_of=daily_due(timezone.now()))
        scheduler.step()
        wait_for(lambda: DjangoJobExecution.objects.filter(status="Executed").exists(), "the pruning at 3:00")
    execution = DjangoJobExecution.objects.select_related("job").get()
    assert (execution.job_id, f"{execution.run_time:%dT%H:%M:%S}") == ("prune_executions", "01T03:00:00")
    assert f"{execution.job.next_run_time:%dT%H:%M:%S}" == "02T03:00:00"


@pytest.fixture
def file_lock(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.config.getoption("database") != "sqlite":
        pytest.skip("PostgreSQL's lock is tested with processes")
    lock = FileLock("rfm")
    assert lock.hold()
    yield
    lock.release()


def test_on_sqlite_too_a_second_run_says_that_one_is_in_progress(file_lock: None) -> None:
    with pytest.raises(CommandError, match="another RFM run is in progress: nothing was done") as refused:
        call_command("compute_rfm")
    assert refused.value.returncode == 75
    assert runs() == []
