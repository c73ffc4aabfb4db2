"""/healthz (liveness) and /readyz (readiness), with one function for each dependency."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.functional import cached_property
from django_redis import get_redis_connection

from actions.kafka.errors import NotDelivered
from actions.kafka.probe import ask_kafka
from ccweb.request.deadline import within

CAP_SECONDS = 0.5  # limit of each check

SHOWN = 3  # of the pending migrations
HINT = "{} migrations of this release are not applied: python manage.py migrate"
State = dict[str, Any]


def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: the process answers; no I/O."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Readiness: 503 without the database or one of this release's migrations.

    200 and "degraded" without Redis or Kafka, which are optional.
    """
    with ThreadPoolExecutor(2) as pool:
        redis, kafka = pool.submit(state, ask_redis), pool.submit(state, ask_kafka)
        # Not in the pool, whose threads would open database connections and leave them open.
        states = {"database": state_of_database(), "redis": redis.result(), "kafka": kafka.result()}
    if states["database"]["status"] != "ok":
        overall = "down"
    else:
        overall = "ok" if all(found["status"] == "ok" for found in states.values()) else "degraded"
    status = 503 if overall == "down" else 200
    return JsonResponse({"status": overall, **states}, status=status, headers={"Cache-Control": "no-store"})


class Migrations:
    """The migrations of this release that are not applied; asked for until there are none, then no more.

    Those that a newer release has applied do not matter: the old one goes on serving during a deployment.
    """

    def __init__(self) -> None:
        self.are_applied = False
        self.pending: list[str] = []  # when they were last looked for: such as "segments.0007_goals", sorted

    def look(self) -> None:
        """Look for them by one query; raises DatabaseError."""
        pending = self._of_this_release - applied_migrations()
        self.pending = sorted(f"{app}.{name}" for app, name in pending)
        self.are_applied = not pending

    @cached_property
    def _of_this_release(self) -> set[tuple[str, str]]:
        """App and name of all on the disk; their files are imported, which takes a tenth of a second."""
        return set(MigrationLoader(None).graph.nodes)


MIGRATIONS = Migrations()


def applied_migrations() -> set[tuple[str, str]]:
    """App and name of what the database has recorded; raises DatabaseError, in a web worker after CAP_SECONDS."""
    recorder = MigrationRecorder(connection)
    try:
        with within(CAP_SECONDS):
            return set(recorder.migration_qs.values_list("app", "name"))
    except DatabaseError:
        if recorder.has_table():
            raise
        return set()


def state(ask: Callable[[], None], *, in_full: bool = False) -> State:
    """{status, ms} and, on failure, the class of the error: its text may contain hosts and users.

    Of Kafka also `detail`, which contains none, or `in_full` what the client complains of: for staff.
    """
    begun = time.perf_counter()
    try:
        ask()
        found = {"status": "ok"}
    except Exception as error:  # noqa: BLE001 - every error is reported in the answer
        found = {"status": "away", "error": type(error).__name__}
        if isinstance(error, NotDelivered):
            found["detail"] = str(error) if in_full else error.summary
    return found | {"ms": round((time.perf_counter() - begun) * 1000, 1)}


def state_of_database() -> State:
    """Also `behind`, with what is missing and what to type."""
    found = state(ask_database)
    if found["status"] == "ok" and (pending := MIGRATIONS.pending):
        return found | {"status": "behind", "pending": pending[:SHOWN], "hint": HINT.format(len(pending))}
    return found


def ask_database() -> None:
    """A query on the connection of the request's thread; raises DatabaseError, in a web worker after CAP_SECONDS."""
    if not MIGRATIONS.are_applied:
        MIGRATIONS.look()
        return
    with within(CAP_SECONDS), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def ask_redis() -> None:
    """PING; raises RedisError. The client's own timeouts are shorter than CAP_SECONDS."""
    get_redis_connection().ping()
