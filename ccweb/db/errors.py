"""Classification of database errors: is the database unavailable, or is the statement wrong?"""

import logging
import time

from django.db import InterfaceError, OperationalError

logger = logging.getLogger(__name__)
READ_ONLY = "25006"  # SQLSTATE read_only_sql_transaction
LOG_INTERVAL_SECONDS = 10.0
_logged_at: dict[str, float] = {}


def database_is_away(error: BaseException | None) -> bool:
    """Whether the database cannot work now: no connection, a timeout, no disk space, or a read-only replica."""
    return isinstance(error, OperationalError | InterfaceError) or sqlstate(error) == READ_ONLY


def log_database_error(error: BaseException | None) -> None:
    """Log the error, each kind once in LOG_INTERVAL_SECONDS: in an outage every request fails with it."""
    kind, now = sqlstate(error) or type(error).__name__, time.monotonic()
    if now - _logged_at.get(kind, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
        _logged_at[kind] = now
        logger.error("the database is unavailable, requests get 503: %s", " ".join(str(error).split()))


def sqlstate(error: BaseException | None) -> str | None:
    """The SQLSTATE of a DatabaseError of PostgreSQL, None for other errors."""
    return getattr(error.__cause__, "sqlstate", None) if error else None
