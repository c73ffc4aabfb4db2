"""Pickles in django_apscheduler_djangojob: the scheduler process and the admin never execute them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_apscheduler.models import DjangoJob

from tests.support.deployment import Stack
from tests.support.os_processes import wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.traces import hostile_pickle

OURS, UNKNOWN = "compute_rfm_and_update_segments", "a job of somebody else"
STORE = """
from django.utils import timezone
from django_apscheduler.models import DjangoJob
for job_id in {ids!r}:
    DjangoJob.objects.create(id=job_id, next_run_time=timezone.now(), job_state={state!r})
"""
SHOW = """
from django_apscheduler.models import DjangoJob
print(sorted((job.id, bytes(job.job_state) == {state!r}) for job in DjangoJob.objects.all()))
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[bytes]:
    with hostile_pickle(tmp_path / "executed") as state:
        yield state


@pytest.fixture(params=["sqlite", "postgresql"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    on_postgresql = request.param == "postgresql"
    url = request.getfixturevalue("fresh_database") if on_postgresql else f"sqlite:///{tmp_path}/db.sqlite3"
    with Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED) as stack:
        if not on_postgresql:
            stack.manage("migrate")
        yield stack


@pytest.mark.stack
def test_the_scheduler_process_executes_no_row(stack: Stack, hostile: bytes) -> None:
    stack.manage("shell", "-c", STORE.format(ids=[OURS, UNKNOWN], state=hostile))
    scheduler = stack.program("scheduler").start()
    wait_for(lambda: f"holds {UNKNOWN!r}, which is no job" in scheduler.log.read_text(), "the line about the row")
    scheduler.stop()
    assert OURS not in scheduler.log.read_text()  # our own row is no reason for a line
    shown = stack.manage("shell", "-c", SHOW.format(state=hostile)).stdout
    assert shown.splitlines()[-1] == str([(UNKNOWN, True), (OURS, False), ("prune_executions", False)])


@pytest.mark.django_db
def test_the_admin_shows_a_row_and_cannot_run_it(admin_client: Client, hostile: bytes) -> None:
    DjangoJob.objects.create(id=UNKNOWN, next_run_time=timezone.now() - timedelta(hours=1), job_state=hostile)
    page = reverse("admin:django_apscheduler_djangojob_changelist")
    assert UNKNOWN in admin_client.get(page).content.decode()
    admin_client.post(page, {"action": "run_selected_jobs", "_selected_action": [UNKNOWN]})
    for name in ("change", "delete", "history"):
        admin_client.get(reverse(f"admin:django_apscheduler_djangojob_{name}", args=[UNKNOWN]))
    assert DjangoJob.objects.exists()
