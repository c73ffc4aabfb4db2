"""Rebuild of all streaks in Redis from user_actions, after Redis lost data or by command."""

import logging
import secrets
from collections.abc import Callable

from ccweb.events.erasure import erased_among
from segments.streaks import store
from segments.streaks.from_actions import all_runs
from segments.streaks.redis_connection import background_timeouts
from segments.streaks.update import write_if_unchanged

logger = logging.getLogger(__name__)


class RebuildFailed(Exception):
    """The streaks are not complete; the message says why."""


def rebuild(report: Callable[[int], None] = lambda written: None) -> int:
    """Write all streaks that are not 0 and mark them complete; returns how many. Keys of other users are not deleted.

    `report` is called with the number written by each step. Raises RebuildFailed when another rebuild is in progress or
    Redis lost data meanwhile; DependencyUnavailable, CommandRefused or DatabaseError.
    """
    with background_timeouts():
        written = _rebuild(secrets.token_hex(8), report)
    logger.info("rebuilt %d streaks", written)
    return written


def _rebuild(token: str, report: Callable[[int], None]) -> int:
    if not store.lock_rebuild(token):
        raise RebuildFailed("another rebuild is in progress, or was killed less than five minutes ago")
    written = 0
    for some in all_runs():
        write_if_unchanged(store.restore(some))
        for user_id in erased_among(user_id for user_id, _ in some):  # since the statement began
            store.delete(user_id)
        if not store.hold_rebuild(token):
            raise RebuildFailed("Redis lost data during the rebuild")
        written += len(some)
        report(len(some))
    if not store.complete_rebuild(token):
        raise RebuildFailed("Redis lost data during the rebuild")
    return written
