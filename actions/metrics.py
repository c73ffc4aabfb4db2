"""Metrics of the outbox and the relay, read from the database for /metrics."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily as Gauge

from actions.models import OutboxMessage
from ccweb.db.leader_election import is_led


def outbox() -> Iterator[Gauge]:
    """Gauges of the messages that Kafka has not confirmed yet."""
    waiting, age = OutboxMessage.objects.backlog()
    yield Gauge("ccweb_outbox_waiting", "Messages that are not yet published to Kafka.", waiting)
    yield Gauge("ccweb_outbox_oldest_seconds", "Age of the oldest unpublished message, 0 if there is none.", age)
    quarantined = OutboxMessage.objects.quarantined().count()
    yield Gauge("ccweb_outbox_quarantined", "Quarantined messages, which Kafka rejects.", quarantined)


def relay() -> Iterator[Gauge]:
    """Whether a relay leads."""
    text = "Relays that lead: 1, or 0 when no process publishes."
    yield Gauge("ccweb_relay_leaders", text, float(is_led("relay")))
