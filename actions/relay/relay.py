"""The relay: takes the outbox to Kafka, in order, batch by batch, as the only producer.

A row is deleted when Kafka has confirmed it. Whatever goes wrong in between, it is sent again: at least once, at most
one batch twice per crash. Nothing expires; only a message that Kafka will never take is set aside (quarantined).
"""

import logging
import threading
import time
from collections.abc import Sequence

import psycopg
from django.db import DatabaseError, close_old_connections

from actions.kafka.producer import NotAuthorized, NotDelivered, RecordRejected, TransactionalProducer
from actions.models import TOPIC, Message, OutboxMessage, OutboxQuerySet
from actions.relay.listener import POLL_INTERVAL_SECONDS, listener_for
from actions.relay.outbox_cursor import OutboxCursor
from ccweb.db.leader_election import Lead

BATCH = 200
ELECTION_INTERVAL_SECONDS = 0.25  # seconds between two tries to win the lead
STOP_TIMEOUT_SECONDS = 8.0  # seconds that a stopping relay gives the batch in hand
LOG_INTERVAL_SECONDS = 60.0  # seconds between two log lines of the same kind
logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The relay was told to stop, or has lost the lead, in the middle of a batch, which stays in the outbox."""


class Relay:
    """One relay of a process; at most one in a deployment leads. Counts what it did since it was made."""

    def __init__(self) -> None:
        self.delivered = self.quarantined = self.errors = 0
        self.stop = threading.Event()
        self.working = threading.Lock()  # free while the relay rests
        self.lead = Lead("relay")
        self._listener = listener_for(self.lead)
        self._producer: TransactionalProducer | None = None
        self._term = 0  # of the lead that the courier belongs to
        self._cursor = OutboxCursor()
        self._confirmed: list[int] = []  # rows that Kafka has and the outbox still shows
        self._stop_by = 0.0
        self._alarmed: dict[str, float] = {}

    def step(self) -> int:
        """Deliver one batch if this process leads; returns how many rows no longer wait.

        Raises NotDelivered when Kafka, DatabaseError or psycopg.Error when the database does not answer.
        """
        if not self.lead.hold():
            return 0
        self._ready_producer()
        self._delete_confirmed()
        batch = self._cursor.batch(BATCH)
        try:
            if batch:
                self._deliver(batch)
        except RecordRejected:
            self._deliver_one_by_one(batch)
        return len(batch)

    def run(self, *, until_empty: bool = False) -> None:
        """Step until `stop` is set, or until nothing waits, whoever delivered it.

        Every error is logged, counted and followed by another try.
        """
        pause = 0.1
        while not self.stop.is_set():
            try:
                if until_empty and not self._anything_waits():
                    break
                self._pause(self._work())
                pause = 0.1
            except Stopped:
                continue
            except Exception as error:  # noqa: BLE001 - logged and counted: the relay outlives everything
                self._note(error)
                self.stop.wait(pause)
                pause = min(pause * 2, 5.0 if isinstance(error, NotAuthorized | DatabaseError) else 1.0)
        self.close()

    def close(self) -> None:
        """Leave the lead to another relay."""
        self._drop_producer()
        self.lead.release()

    def _work(self) -> int:
        with self.working:
            try:
                return self.step()
            finally:
                close_old_connections()  # also because an open SQLite connection survives no fork

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
        """The courier of this term of the lead; making it fences those of earlier leaders."""
        if self._term != self.lead.terms:
            self._drop_producer()
        if self._producer is None:
            producer = TransactionalProducer(self._alive)
            producer.create_topic(TOPIC)
            self._producer, self._term, self._cursor = producer, self.lead.terms, OutboxCursor()
        return self._producer

    def _deliver(self, batch: Sequence[Message]) -> None:
        try:
            self._ready_producer().publish(batch)
        except BaseException as error:
            if self._producer and (self._producer.fenced or not isinstance(error, RecordRejected)):
                self._drop_producer()  # the next one aborts what this one has begun
            raise
        self._confirmed = [message.pk for message in batch]
        self._delete_confirmed()
        self.delivered += len(batch)

    def _deliver_one_by_one(self, batch: Sequence[Message]) -> None:
        for message in batch:
            try:
                self._deliver([message])
            except RecordRejected as error:
                self._quarantine(message, str(error))

    def _quarantine(self, message: Message, reason: str) -> None:
        if OutboxMessage.objects.quarantine(message.pk, reason):
            self.quarantined += 1
            logger.error("outbox row %d is quarantined, Kafka will never take it: %s", message.pk, reason)
        else:
            logger.info("outbox row %d, which Kafka refused, is gone: its user was erased meanwhile", message.pk)

    def _delete_confirmed(self) -> None:
        """Also after a database outage, so that it causes no duplicates."""
        if self._confirmed:
            OutboxMessage.objects.delete_delivered(self._confirmed)
            self._confirmed = []

    def _drop_producer(self) -> None:
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _alive(self) -> None:
        """Called all through a delivery. Raises Stopped when the lead is lost or the time to stop has come."""
        if not self.lead.hold():
            raise Stopped
        if self.stop.is_set():
            self._stop_by = self._stop_by or time.monotonic() + STOP_TIMEOUT_SECONDS
            if self._producer is None or time.monotonic() > self._stop_by:
                raise Stopped

    def _note(self, error: Exception) -> None:
        """Count an error, and log its kind at most once in LOG_INTERVAL_SECONDS seconds."""
        self.errors += 1
        kind, now = type(error).__name__, time.monotonic()
        if now - self._alarmed.get(kind, -LOG_INTERVAL_SECONDS) < LOG_INTERVAL_SECONDS:
            return
        self._alarmed[kind] = now
        text = "the relay is held up (%s: %s); nothing is lost, it keeps trying"
        if isinstance(error, NotDelivered | DatabaseError | psycopg.Error):
            level = logging.ERROR if isinstance(error, NotAuthorized) else logging.WARNING
            logger.log(level, text, kind, str(error).strip())
        else:
            logger.error(text, kind, error, exc_info=error)


def resend(messages: OutboxQuerySet) -> int:
    """Let quarantined messages wait again, in their old place; returns how many."""
    return messages.quarantined().update(quarantined_at=None, error="")
