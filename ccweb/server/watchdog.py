"""The thread that frees requests: from a PostgreSQL that does not answer, and from bodies that do not come."""

import logging
import math
import os
import socket
import threading
import time

import psycopg
from django.db.backends.base.base import BaseDatabaseWrapper
from prometheus_client import Counter, Gauge

from ccweb.db.postgresql import silence
from ccweb.request import deadline
from ccweb.request.deadline import RequestDeadline
from ccweb.server import concurrency, request_body

CHECK_INTERVAL_SECONDS = 0.1  # seconds between two looks
SLOW_QUERY_SECONDS = 0.5  # seconds on one query after which the server is asked for a sign of life
PROBE_INTERVAL_SECONDS = 0.5  # seconds between two questions
SILENT = Gauge(
    "ccweb_database_silent", "Whether a worker waits for PostgreSQL to wake up.", multiprocess_mode="livemax"
)
SEVERED = Counter("ccweb_database_severed", "Connections cut because their request's time was up or nobody answered.")
logger = logging.getLogger(__name__)


def start() -> None:
    """Watch the requests of this process."""
    threading.Thread(target=_run, name="watchdog", daemon=True).start()


def sever(database: BaseDatabaseWrapper) -> None:
    """Shut the connection's socket: the thread that waits on it gets an OperationalError at once."""
    connection = database.connection
    try:
        if connection is None or connection.closed:
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
        SEVERED.inc()
    except (OSError, psycopg.Error):  # the thread was quicker and has closed it
        logger.debug("a connection was closed already")


class Watchdog:
    """Looks at the requests in request every CHECK_INTERVAL_SECONDS."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._bodies = request_body.LateBodies()

    def step(self) -> None:
        """One look."""
        now = time.monotonic()
        active = [
            request for request in deadline.active() if request.database and request.database.vendor == "postgresql"
        ]
        for request in active:
            if now > request.deadline and is_waiting(request):
                sever(request.database)  # type: ignore[arg-type]
        suspicious = silence.known() or any(_is_late(request, now) for request in active)
        if suspicious and now - self._asked_at > PROBE_INTERVAL_SECONDS:
            self._asked_at = now
            self._ask()
        self._bodies.cut()

    def _ask(self) -> None:
        silent = not silence.answers(silence.PROBE_TIMEOUT_SECONDS)
        if silent != silence.known():
            logger.log(
                logging.ERROR if silent else logging.WARNING,
                "PostgreSQL %s",
                "does not answer" if silent else "answers again",
            )
            silence.note(silent)
            SILENT.set(silent)
        if silent:
            for database in concurrency.databases():
                sever(database)


def is_waiting(request: RequestDeadline) -> bool:
    """Whether its thread has sent something to the server and has no answer yet, or is connecting."""
    connection = request.database.connection if request.database else None
    return connection is None or connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE


def _is_late(request: RequestDeadline, now: float) -> bool:
    return (
        request.working_since is not None and now - request.working_since > SLOW_QUERY_SECONDS and is_waiting(request)
    )


def _run() -> None:
    watchdog = Watchdog()
    while True:
        time.sleep(CHECK_INTERVAL_SECONDS)
        try:
            watchdog.step()
        except Exception:
            logger.exception("the watchdog stumbled and goes on")
