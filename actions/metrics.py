"""Outbox and relay as the database tells them, for /metrics."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily as Gauge

from actions.models import OutboxMessage
from ccweb.db.leader_election import is_led


def outbox() -> Iterator[Gauge]:
    """What Kafka has not confirmed yet."""
    waiting, age = OutboxMessage.objects.backlog()
    yield Gauge("ccweb_outbox_waiting", "Messages that wait for Kafka.", waiting)
    yield Gauge("ccweb_outbox_oldest_seconds", "Age of the oldest message that waits, 0 when none does.", age)
    quarantined = OutboxMessage.objects.quarantined().count()
    yield Gauge("ccweb_outbox_quarantined", "Messages set aside, because Kafka will never take them.", quarantined)


def relay() -> Iterator[Gauge]:
    """Whether any process delivers."""
    text = "Relays that hold the lead: 1, or 0 when no process delivers."
    yield Gauge("ccweb_relay_leaders", text, float(is_led("relay")))
