"""What a database error means: is the database away, or is the statement wrong?"""

import logging
import time

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)
READ_ONLY = "25006"  # an SQLSTATE
LOG_INTERVAL_SECONDS = 10.0  # seconds
_noted: dict[str, float] = {}


def database_is_away(error: BaseException | None) -> bool:
    """Whether the error is the database's state and not ours: no connection, no time, no room, or only a replica."""
    return isinstance(error, OperationalError | InterfaceError) or sqlstate(error) == READ_ONLY


def note_database_error(error: BaseException | None) -> None:
    """Log what the database said, each kind once in LOG_INTERVAL_SECONDS: in an outage every request meets it."""
    if sqlstate(error) == READ_ONLY:
        connection.close()  # the next one may find the server that has become the primary
    kind, now = sqlstate(error) or type(error).__name__, time.monotonic()
    if now - _noted.get(kind, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
        _noted[kind] = now
        logger.error("the database is away, requests get 503: %s", " ".join(str(error).split()))


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of a DatabaseError, None for other errors."""
    return getattr(error.__cause__, "sqlstate", None) if error else None
