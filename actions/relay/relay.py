"""Outbox relay: the leader publishes the outbox to Kafka in order, batch by batch, as the only producer.

A row is deleted when Kafka has confirmed it; after any error before that it is sent again. Delivery is at least once,
with at most one batch of duplicates per crash. Messages do not expire; one that Kafka rejects is quarantined.
"""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import psycopg
from django.db import DatabaseError, close_old_connections
from prometheus_client import Counter

from actions.kafka.errors import NotDelivered, RecordRejected, RecordTooLarge, Refused
from actions.kafka.producer import BATCH_BYTES, TransactionalProducer
from actions.kafka.topic_reader import TopicUnreadable
from actions.models import RECEIPTS, TOPIC, Message, OutboxMessage, OutboxQuerySet
from actions.relay.listener import POLL_INTERVAL_SECONDS, listener_for
from actions.relay.outbox_cursor import OutboxCursor
from actions.relay.set_back import refuse_set_back
from ccweb.api.restored import RestoredDatabase, refuse_restored
from ccweb.db.leader_election import Lead

BATCH = 200
TRANSACTION_BYTES = 8_000_000  # of a batch, unless one message is larger
ELECTION_INTERVAL_SECONDS = 0.25  # between two attempts to become the leader
STOP_TIMEOUT_SECONDS = 8.0  # for the current batch, when the relay is told to stop
LOG_INTERVAL_SECONDS = 60.0  # between two log lines about the same type of error
DELIVERED = Counter("ccweb_relay_delivered", "Messages that Kafka has confirmed to this relay.")
QUARANTINED = Counter("ccweb_relay_quarantined", "Messages that this relay has quarantined.")
ERRORS = Counter("ccweb_relay_errors", "Errors of this relay, each followed by a retry, by type.", ["type"])
logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The relay was told to stop, or lost leadership, during a batch, which stays in the outbox."""


class Relay:
    """A relay; at most one in a deployment leads. `delivered`, `quarantined` and `errors` count since its creation."""

    def __init__(self) -> None:
        self.delivered = self.quarantined = self.errors = 0
        self.turned_at = time.monotonic()  # when the last round began, or its publish was seen to go on
        self.stop = threading.Event()
        self.step_lock = threading.Lock()  # held during a step
        self.lead = Lead("relay")
        self._listener = listener_for(self.lead)
        self._producer: TransactionalProducer | None = None
        self._term = 0  # the term of leadership of the producer
        self._batch_bytes = BATCH_BYTES  # of a batch to a partition, lowered when Kafka refuses one for its size
        self._cursor = OutboxCursor()
        self._confirmed: list[int] = []  # ids that Kafka has confirmed and that are still in the outbox
        self._stop_by = 0.0  # time.monotonic() at which a stopping relay gives up its batch
        self._logged: dict[str, float] = {}  # type of error to time.monotonic()

    def step(self) -> int:
        """Publish one batch if this process leads; returns how many rows are no longer waiting.

        Raises NotDelivered when Kafka does not confirm, DatabaseError or psycopg.Error when the database does not
        answer, and Stopped.
        """
        self.turned_at = time.monotonic()
        if not self.lead.hold():
            return 0
        self._ready_producer()
        self._delete_confirmed()
        batch = _first_bytes(self._cursor.batch(BATCH))
        if batch:
            self._publish_or_halve(batch)
        return len(batch)

    def run(self, *, until_empty: bool = False) -> None:
        """Repeat step() until `stop` is set or, with `until_empty`, until no message is waiting.

        Every error is logged, counted and followed by a retry, except RestoredDatabase, which is raised. Another relay
        may be the one that empties the outbox.
        """
        pause, known = 0.1, False
        while not self.stop.is_set():
            try:
                if not known:
                    refuse_restored()
                    known = True
                if until_empty and not self._anything_waits():
                    break
                self._pause(self._locked_step())
                pause = 0.1
            except Stopped:
                continue
            except RestoredDatabase:
                self.close()
                raise
            except Exception as error:  # noqa: BLE001 - logged and counted: no error ends the relay
                self._log_error(error)
                self.stop.wait(pause)
                pause = min(pause * 2, 5.0 if isinstance(error, Refused | DatabaseError) else 1.0)
        self.close()

    def close(self) -> None:
        """Close the producer and release leadership."""
        self._drop_producer()
        self.lead.release()

    def _locked_step(self) -> int:
        with self.step_lock:
            try:
                return self.step()
            finally:
                close_old_connections()  # also because an open SQLite connection must not cross a fork

    def _anything_waits(self) -> bool:
        return OutboxMessage.objects.waiting().exists()

    def _pause(self, delivered: int) -> None:
        if delivered:
            self._listener.rows_found()
            self.stop.wait(POLL_INTERVAL_SECONDS if delivered < BATCH else 0)
        elif self.lead.hold():
            self._listener.wait()
        else:
            self._drop_producer()
            self.stop.wait(ELECTION_INTERVAL_SECONDS)

    def _ready_producer(self) -> TransactionalProducer:
        """The producer of this term of leadership; creating it fences those of earlier leaders."""
        if self._term != self.lead.terms:
            self._drop_producer()
            self._batch_bytes = BATCH_BYTES
        if self._producer is None:
            producer = TransactionalProducer(self._heartbeat, batch_bytes=self._batch_bytes)
            for topic in (TOPIC, RECEIPTS):
                producer.create_topic(topic)
            refuse_set_back(self._heartbeat)
            self._producer, self._term, self._cursor = producer, self.lead.terms, OutboxCursor()
        return self._producer

    def _publish(self, batch: Sequence[Message]) -> None:
        try:
            self._ready_producer().publish(batch)
        except BaseException as error:
            if self._producer and (self._producer.fenced or not isinstance(error, RecordRejected)):
                self._drop_producer()  # the next producer aborts the open transaction and counts messages anew
            raise
        self._confirmed = [message.pk for message in batch]
        self._delete_confirmed()
        self.delivered += len(batch)
        DELIVERED.inc(len(batch))

    def _publish_or_halve(self, batch: Sequence[Message]) -> None:
        """Publish a batch; one that Kafka rejects in halves, and of those again, down to the rejected message."""
        try:
            self._publish(batch)
        except RecordRejected as error:
            middle = len(batch) // 2
            if not middle:
                self._quarantine(batch[0], str(error))
                return
            if isinstance(error, RecordTooLarge):
                self._batch_bytes = min(self._batch_bytes, sum(map(_size, batch)) // 2)
            self._publish_or_halve(batch[:middle])
            self._publish_or_halve(batch[middle:])

    def _quarantine(self, message: Message, reason: str) -> None:
        if OutboxMessage.objects.quarantine(message.pk, reason):
            self.quarantined += 1
            QUARANTINED.inc()
            logger.error("outbox row %d is quarantined, Kafka rejects it: %s", message.pk, reason)
        else:
            logger.info("outbox row %d, which Kafka rejects, was deleted meanwhile: its user was erased", message.pk)

    def _delete_confirmed(self) -> None:
        """Delete the confirmed rows; after an outage of the database this prevents duplicates."""
        if self._confirmed:
            OutboxMessage.objects.delete_delivered(self._confirmed)
            self._confirmed = []

    def _drop_producer(self) -> None:
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _heartbeat(self) -> None:
        """Renew leadership during a publish. Raises Stopped when it is lost or when the stop timeout has passed."""
        self.turned_at = time.monotonic()
        if not self.lead.hold():
            raise Stopped
        if self.stop.is_set():
            self._stop_by = self._stop_by or time.monotonic() + STOP_TIMEOUT_SECONDS
            if self._producer is None or time.monotonic() > self._stop_by:
                raise Stopped

    def _log_error(self, error: Exception) -> None:
        """Count an error, and log its type at most once in LOG_INTERVAL_SECONDS."""
        self.errors += 1
        kind, now = type(error).__name__, time.monotonic()
        ERRORS.labels(kind).inc()
        if now - self._logged.get(kind, -LOG_INTERVAL_SECONDS) < LOG_INTERVAL_SECONDS:
            return
        self._logged[kind] = now
        text = "the relay is blocked (%s: %s); no message is lost, it retries"
        if isinstance(error, NotDelivered | TopicUnreadable | DatabaseError | psycopg.Error):
            level = logging.ERROR if isinstance(error, Refused) else logging.WARNING
            logger.log(level, text, kind, str(error).strip())
        else:
            logger.error(text, kind, error, exc_info=error)


def _size(message: Message) -> int:
    """About the bytes of a message in Kafka, without headers and framing."""
    return len(message.payload) + len(message.key)


def _first_bytes(batch: Sequence[Message]) -> Sequence[Message]:
    """The first messages of a batch, at most TRANSACTION_BYTES, but at least one."""
    totals = list(accumulate(map(_size, batch)))
    return batch[: max(bisect_right(totals, TRANSACTION_BYTES), 1)]


def resend(messages: OutboxQuerySet) -> int:
    """Queue quarantined messages again, at their old position; returns how many."""
    return messages.quarantined().update(quarantined_at=None, error="")
