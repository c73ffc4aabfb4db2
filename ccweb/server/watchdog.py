"""The watchdog thread: ends waits for a PostgreSQL that does not answer and for bodies that do not arrive."""

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

CHECK_INTERVAL_SECONDS = 0.1
SLOW_QUERY_SECONDS = 0.5  # time on one query after which the server is probed
PROBE_INTERVAL_SECONDS = 0.5
SILENT = Gauge(
    "ccweb_database_silent", "Whether PostgreSQL does not answer a worker's probes.", multiprocess_mode="livemax"
)
SEVERED = Counter(
    "ccweb_database_severed", "Connections shut because the request's deadline passed or PostgreSQL did not answer."
)
logger = logging.getLogger(__name__)


def start() -> None:
    """Start the watchdog thread of this process."""
    threading.Thread(target=_run, name="watchdog", daemon=True).start()


def sever(database: BaseDatabaseWrapper) -> None:
    """Shut the connection's socket: the thread that waits on it gets an OperationalError immediately."""
    connection = database.connection
    try:
        if connection is None or connection.closed:
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
        SEVERED.inc()
    except (OSError, psycopg.Error):  # the request's own thread has closed it meanwhile
        logger.debug("the database connection was already closed")


class Watchdog:
    """Checks the active requests; call `step` every CHECK_INTERVAL_SECONDS."""

    def __init__(self) -> None:
        self._probed_at = -math.inf
        self._bodies = request_body.LateBodies()

    def step(self) -> None:
        """Check all active requests once."""
        now = time.monotonic()
        active = [
            request for request in deadline.active() if request.database and request.database.vendor == "postgresql"
        ]
        for request in active:
            if now > request.deadline and is_waiting(request):
                sever(request.database)  # type: ignore[arg-type]
        suspicious = silence.is_silent() or any(_is_late(request, now) for request in active)
        if suspicious and now - self._probed_at > PROBE_INTERVAL_SECONDS:
            self._probed_at = now
            self._probe()
        self._bodies.cut()

    def _probe(self) -> None:
        silent = not silence.answers(silence.PROBE_TIMEOUT_SECONDS)
        if silent != silence.is_silent():
            logger.log(
                logging.ERROR if silent else logging.WARNING,
                "PostgreSQL %s",
                "does not answer" if silent else "answers again",
            )
            silence.set_silent(silent)
            SILENT.set(silent)
        if silent:
            for database in concurrency.databases():
                sever(database)


def is_waiting(request: RequestDeadline) -> bool:
    """Whether the request's thread waits for an answer of PostgreSQL, or is connecting."""
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
            logger.exception("the watchdog failed once and continues")
