"""Metrics that no process counts, because they are true of the deployment: read from the database at each scrape."""

import logging
from collections.abc import Iterator

from django.db import DatabaseError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from actions.models import OutboxMessage
from ccweb.db.leader_election import is_led
from segments.models import RfmRun

log = logging.getLogger(__name__)


class DeploymentCollector(Collector):
    """Outbox, relay and RFM as the database tells them; `ccweb_database_up 0` alone when it does not answer."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        try:
            gauges = [*outbox(), *relay(), *rfm()]
        except DatabaseError as error:
            log.warning("no gauges of the database: %s", error)
            gauges = []
        yield _gauge("ccweb_database_up", "Whether the database answered this scrape.", bool(gauges))
        yield from gauges


def outbox() -> Iterator[GaugeMetricFamily]:
    """What Kafka has not confirmed yet."""
    waiting, age = OutboxMessage.objects.backlog()
    yield _gauge("ccweb_outbox_waiting", "Messages that wait for Kafka.", waiting)
    yield _gauge("ccweb_outbox_oldest_seconds", "Age of the oldest message that waits, 0 when none does.", age)
    quarantined = OutboxMessage.objects.quarantined().count()
    yield _gauge("ccweb_outbox_quarantined", "Messages set aside, because Kafka will never take them.", quarantined)


def relay() -> Iterator[GaugeMetricFamily]:
    """Whether anybody delivers."""
    yield _gauge("ccweb_relay_leaders", "Relays that hold the lead: 1, or 0 when nobody delivers.", is_led("relay"))


def rfm() -> Iterator[GaugeMetricFamily]:
    """The last run that succeeded."""
    run = RfmRun.objects.done().first()
    if run and run.started_at and run.finished_at:
        name, text = "ccweb_rfm_last_success_timestamp_seconds", "When the last successful run ended (Unix time)."
        yield _gauge(name, text, run.finished_at.timestamp())
        seconds = (run.finished_at - run.started_at).total_seconds()
        yield _gauge("ccweb_rfm_last_success_duration_seconds", "How long it took.", seconds)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))
