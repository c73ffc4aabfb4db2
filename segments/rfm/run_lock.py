"""The lock that allows one RFM run at a time and stops a run whose process froze from committing later.

On PostgreSQL it is an advisory lock of the session that writes: when the process freezes, the server ends the session
after SESSION_TIMEOUT_SECONDS, which releases the lock and rolls back. On SQLite it is a file lock beside the database.
"""

import contextlib
from collections.abc import Iterator

from django.db import DatabaseError, connection

from ccweb.db.file_lock import FileLock
from segments.rfm.counted import is_postgresql

RFM_LOCK = 4_201_004  # pg_advisory_lock
BUSY_EXIT = 75  # sysexits.h EX_TEMPFAIL: try again later
SESSION_TIMEOUT_SECONDS = {
    "idle_session_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
    # The statement of a killed client ends at once, instead of holding the lock until it is done.
    "client_connection_check_interval": "250ms",
}


class Busy(Exception):
    """Another run is in progress; nothing was done."""


@contextlib.contextmanager
def only_run() -> Iterator[None]:
    """Hold the lock of RFM runs. Raises Busy, without waiting, when another process or thread has it."""
    with _session_lock() if is_postgresql() else _file_lock():
        yield


@contextlib.contextmanager
def _file_lock() -> Iterator[None]:
    lock = FileLock("rfm")
    if not lock.hold():
        raise Busy("another RFM run is in progress")
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _session_lock() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [RFM_LOCK])
        if not cursor.fetchone()[0]:
            raise Busy("another RFM run is in progress")
        for name, value in SESSION_TIMEOUT_SECONDS.items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
    try:
        yield
    finally:
        with contextlib.suppress(DatabaseError):  # a closed session holds no lock
            _release()


def _release() -> None:
    with connection.cursor() as cursor:
        for name in SESSION_TIMEOUT_SECONDS:
            cursor.execute(f"RESET {name}")
        cursor.execute("SELECT pg_advisory_unlock(%s)", [RFM_LOCK])
