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
from ccweb.request.deadline import Flight
from ccweb.server import concurrency, request_body

TICK = 0.1  # seconds between two looks
SUSPICION = 0.5  # seconds on one query after which the server is asked for a sign of life
PAUSE = 0.5  # seconds between two questions
SILENT = Gauge(
    "ccweb_database_silent", "Whether a worker waits for PostgreSQL to wake up.", multiprocess_mode="livemax"
)
SEVERED = Counter("ccweb_database_severed", "Connections cut because their request's time was up or nobody answered.")
log = logging.getLogger(__name__)


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
        log.debug("a connection was closed already")


class Watchdog:
    """Looks at the requests in flight every TICK."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._bodies = request_body.LateBodies()

    def step(self) -> None:
        """One look."""
        now = time.monotonic()
        flights = [
            flight for flight in deadline.flights() if flight.database and flight.database.vendor == "postgresql"
        ]
        for flight in flights:
            if now > flight.deadline and is_waiting(flight):
                sever(flight.database)  # type: ignore[arg-type]
        suspicious = silence.known() or any(_is_late(flight, now) for flight in flights)
        if suspicious and now - self._asked_at > PAUSE:
            self._asked_at = now
            self._ask()
        self._bodies.cut()

    def _ask(self) -> None:
        silent = not silence.answers(silence.PATIENCE)
        if silent != silence.known():
            log.log(
                logging.ERROR if silent else logging.WARNING,
                "PostgreSQL %s",
                "does not answer" if silent else "answers again",
            )
            silence.note(silent)
            SILENT.set(silent)
        if silent:
            for database in concurrency.databases():
                sever(database)


def is_waiting(flight: Flight) -> bool:
    """Whether its thread has sent something to the server and has no answer yet, or is connecting."""
    connection = flight.database.connection if flight.database else None
    return connection is None or connection.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE


def _is_late(flight: Flight, now: float) -> bool:
    return flight.working_since is not None and now - flight.working_since > SUSPICION and is_waiting(flight)


def _run() -> None:
    watchdog = Watchdog()
    while True:
        time.sleep(TICK)
        try:
            watchdog.step()
        except Exception:
            log.exception("the watchdog stumbled and goes on")
