"""/metrics: what the operator's alerts read, of all worker processes together."""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from actions.metrics import outbox, relay
from ccweb.api.permissions import may_see_metrics
from segments.metrics import rfm

logger = logging.getLogger(__name__)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text; 404 to clients that METRICS_ALLOWED does not name."""
    if not may_see_metrics(request):
        raise Http404
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _registry() -> CollectorRegistry:
    """This process's own metrics when it is alone, else those of all workers; and what the database knows."""
    registry = CollectorRegistry()
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _forget_dead_workers(folder)
        registry.register(AllWorkers(folder))
    else:
        registry.register(REGISTRY)
    registry.register(DeploymentCollector())
    return registry


class AllWorkers(Collector):
    """What the workers of this server have counted, the dead ones too."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        """Their metrics, added up; a file that a starting worker has only just created is empty and left out."""
        files = [str(file) for file in self._folder.glob("*.db") if file.exists() and file.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return merged


def _forget_dead_workers(folder: str) -> None:
    """What they counted stays; what they were, such as a gauge of the moment, goes."""
    for pid in {file.stem.rpartition("_")[2] for file in Path(folder).glob("gauge_live*.db")}:
        if not Path(f"/proc/{pid}").exists():
            mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


class DeploymentCollector(Collector):
    """Outbox, relay and RFM as the database tells them; `ccweb_database_up 0` alone when it does not answer."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        try:
            gauges = [*outbox(), *relay(), *rfm()]
        except DatabaseError as error:
            logger.warning("no gauges of the database: %s", error)
            gauges = []
        yield GaugeMetricFamily("ccweb_database_up", "Whether the database answered this scrape.", float(bool(gauges)))
        yield from gauges
