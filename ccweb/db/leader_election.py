"""Leader election: at most one leader per name among all processes of a deployment.

On PostgreSQL leadership is a session advisory lock on a dedicated connection to the primary, never through a pooler
(DATABASE_DIRECT_URL): a standby would grant the lock too, as long as it is in recovery. The server ends that session
when it has been idle for SESSION_TIMEOUT_SECONDS, so a suspended holder loses leadership although its socket stays
open. On SQLite it is a file lock beside the database, which a suspended holder keeps.
"""

import logging
import time
from contextlib import suppress
from hashlib import sha256
from typing import Protocol

import psycopg
from django.db import connection

from ccweb.db.file_lock import FileLock
from ccweb.db.postgresql.base import psycopg_parameters

PING_INTERVAL_SECONDS = 0.5  # between two queries that keep the session alive
SESSION_TIMEOUT_SECONDS = 1.5  # after which PostgreSQL ends the session of a silent holder
logger = logging.getLogger(__name__)


IS_LED = """SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = %s AND objid = %s)"""


class Lock(Protocol):
    """The lock behind a Lead; both methods may be called in any state."""

    def hold(self) -> bool:
        """Acquire the lock or verify that it is still held; False when another process holds it. Never blocks."""

    def release(self) -> None:
        """Release the lock."""


class Lead:
    """A candidate for the leadership of the job `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock: SessionLock | FileLock = SessionLock(name) if connection.vendor == "postgresql" else FileLock(name)
        self.terms = 0  # how often this process has become the leader
        self._held = False

    def hold(self) -> bool:
        """Whether this process leads now; it becomes the leader if there is none.

        Call it at least every PING_INTERVAL_SECONDS while working. The database is not asked more often than that.
        Raises psycopg.OperationalError when PostgreSQL cannot be reached.
        """
        before, self._held = self._held, False
        self._held = self.lock.hold()
        if self._held != before:
            self.terms += self._held
            logger.info("%s: this process %s", self.name, "leads" if self._held else "no longer leads")
        return self._held

    def release(self) -> None:
        """Let another process lead at once."""
        self._held = False
        self.lock.release()


class SessionLock:
    """A PostgreSQL advisory lock that lives and dies with its own connection."""

    def __init__(self, name: str) -> None:
        self.key = int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)
        self.session: psycopg.Connection | None = None
        self._mine = False
        self._alive_at = 0.0

    def hold(self) -> bool:
        if self._mine and time.monotonic() - self._alive_at < PING_INTERVAL_SECONDS:
            return True
        try:
            return self._ask()
        except psycopg.Error as error:
            lost = self._mine
            self._drop()
            if lost:
                logger.warning("the leader's database session has ended: %s", str(error).strip())
                return False
            raise

    def release(self) -> None:
        if self.session is not None:
            with suppress(psycopg.Error):  # else the server releases the lock when it ends the session
                self.session.execute("SELECT pg_advisory_unlock_all()")
        self._drop()

    def _drop(self) -> None:
        self._mine = False
        if self.session is not None:
            self.session.close()
            self.session = None

    def _ask(self) -> bool:
        if self.session is None:
            self.session = connect()
        query, parameters = ("SELECT true", None) if self._mine else ("SELECT pg_try_advisory_lock(%s)", [self.key])
        row = self.session.execute(query, parameters).fetchone()
        self._mine = bool(row and row[0])
        self._alive_at = time.monotonic()
        return self._mine


def is_led(name: str) -> bool:
    """Whether any process is the leader of this name now; does not become the leader."""
    if connection.vendor == "postgresql":
        high, low = divmod(SessionLock(name).key, 2**32)
        with connection.cursor() as cursor:
            cursor.execute(IS_LED, [high % 2**32, low])
            return bool(cursor.fetchone()[0])
    lock = FileLock(name)
    free = lock.hold()
    lock.release()
    return not free


def connect() -> psycopg.Connection:
    """A connection to the primary, which the server ends after SESSION_TIMEOUT_SECONDS without a query.

    Raises OperationalError when no host of the URL is a primary, such as a standby in recovery.
    """
    timeouts = {"connect_timeout": 3, "keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 2}
    parameters = psycopg_parameters() | timeouts | {"tcp_user_timeout": 2000, "target_session_attrs": "primary"}
    session = psycopg.connect(**parameters, autocommit=True)
    session.execute("SELECT set_config('idle_session_timeout', %s, false)", [f"{SESSION_TIMEOUT_SECONDS * 1000:.0f}"])
    return session
