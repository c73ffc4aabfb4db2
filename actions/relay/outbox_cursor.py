"""Cursor over the outbox: reads it in order, starting where no earlier row can appear any more.

Dead rows of delivered messages stay in front of the waiting ones until VACUUM; to scan them would take longer than to
publish. PostgreSQL's statistics say that the outbox is empty, which it is most of the time. By its own choice the
planner would therefore read the whole table, in parallel, for the first rows of a long queue, and keep that plan.
"""

import time

from django.db import connection, transaction

from actions.models import Message, OutboxMessage
from ccweb.db.commit_order import OVERLAP

# Between two scans from the start, which find re-sent rows; at least ten times as long as such a scan takes.
LOOK_BACK_SECONDS = 1.0
BY_KEY = """SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true),
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"""


class OutboxCursor:
    """A position in the outbox: no new row can appear at or before it, only re-sent ones.

    Rows are not committed in the order of their ids. The position therefore advances to a row that was read only when
    all transactions that were open at that time have ended, and after one more read of the rows that they may have
    inserted before it. The end of a snapshot identifies these transactions only because the relay's own DELETE runs
    in between, so create a new cursor after an error.
    """

    def __init__(self) -> None:
        self._after = 0  # the position: no row waits at or before this id
        self._first = 0  # id of the first row of the last batch
        # The next position, and the transaction id that the oldest open transaction must reach before it is taken.
        self._goal: tuple[int, int] | None = None
        self._look_back_at = 0.0

    def batch(self, size: int) -> list[Message]:
        """The next messages, at most `size`. Reads from the start every LOOK_BACK_SECONDS and when no row is found."""
        if connection.vendor != "postgresql":  # SQLite leaves no dead rows
            return OutboxMessage.objects.batch(size)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(BY_KEY)
                *_, oldest, following = cursor.fetchone()
            found = self._read(size)
        goal, since = self._goal or (self._first, following)
        if found:
            self._first = found[0].pk
        if oldest >= since:
            self._after, self._goal = max(self._after, min(goal, self._first) - OVERLAP), None
        else:
            self._goal = goal, since
        return found

    def _read(self, size: int) -> list[Message]:
        begun = time.monotonic()
        if begun < self._look_back_at and (found := OutboxMessage.objects.batch(size, after=self._after)):
            return found
        found = OutboxMessage.objects.batch(size)
        if not found or found[-1].pk > self._after:  # else more re-sent rows may follow
            ended = time.monotonic()
            self._look_back_at = ended + max(LOOK_BACK_SECONDS, 10 * (ended - begun))
        return found
