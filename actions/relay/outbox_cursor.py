"""How the relay reads the outbox: in order, and on from where no earlier row can appear any more.

Until VACUUM comes, all that is gone lies before what waits: to read past it would take longer than to deliver. And what
PostgreSQL knows of the outbox is that it is empty, which it is most of the time: left to itself it reads all of the
table, by several processes, for the first rows of a long queue, and goes on to do so once a plan was made.
"""

import time

from django.db import connection, transaction

from actions.models import Message, OutboxMessage
from ccweb.db.commit_order import OVERLAP

LOOK_BACK_SECONDS = 1.0  # seconds, or ten times as long as a look takes, after which a row that waits again is found
BY_KEY = """SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('max_parallel_workers_per_gather', '0', true),
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint"""


class OutboxCursor:
    """A place in the outbox, behind which nothing can appear but what is sent again.

    Rows are committed in another order than their ids were drawn in. So the place moves up to a row that was read only
    once all transactions have ended that were open then, and after one more look at what they may have left before it.
    A snapshot's end tells which those are only because the relay's own DELETE comes between: start anew after an error.
    """

    def __init__(self) -> None:
        self._after = 0  # the place: nothing waits up to this id
        self._first = 0  # of the rows read last
        self._goal: tuple[int, int] | None = None  # an id to move up to, and the transaction that all must have reached
        self._look_back_at = 0.0

    def batch(self, size: int) -> list[Message]:
        """The next messages, at most so many; now and then, and when there seem to be none, from the very start."""
        if connection.vendor != "postgresql":  # where a deleted row is gone at once
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
        if not found or found[-1].pk > self._after:  # else there may be more of those that wait again
            ended = time.monotonic()
            self._look_back_at = ended + max(LOOK_BACK_SECONDS, 10 * (ended - begun))
        return found
