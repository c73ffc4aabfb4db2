"""The high-water mark of actions: the id below which no open transaction can still insert one."""

import time
from typing import Any

from django.db import connection

from ccweb.db.commit_order import OVERLAP
from segments.rfm.counted import is_postgresql

WRITERS_TIMEOUT_SECONDS = 2.0
FINAL = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::text::xid8"


def final_action_id() -> int | None:
    """The id up to which no further action will be inserted; None when a writing transaction stays open.

    Waits for open writers, at most WRITERS_TIMEOUT_SECONDS. None also inside a transaction, which is itself open.
    """
    with connection.cursor() as cursor:
        if not is_postgresql():  # one writer at a time: ids are committed in order
            cursor.execute("SELECT COALESCE(MAX(id), 0) FROM user_actions")
            return int(cursor.fetchone()[0])
        if connection.in_atomic_block:
            return None
        cursor.execute("SELECT COALESCE(MAX(id), 0), pg_current_xact_id()::text FROM user_actions")
        highest, horizon = cursor.fetchone()
        deadline = time.monotonic() + WRITERS_TIMEOUT_SECONDS
        while not (final := _is_final(cursor, horizon)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return max(0, int(highest) - OVERLAP) if final else None


def _is_final(cursor: Any, horizon: str) -> bool:
    """Whether all transactions older than the horizon, which is a transaction id of ours, have ended."""
    cursor.execute(FINAL, [horizon])
    return bool(cursor.fetchone()[0])
