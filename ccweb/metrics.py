"""/metrics: Prometheus metrics of all worker processes and of the database."""

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
from ccweb.server.process_metrics import BuildInfo, Processes
from ccweb.server.request_log import RECORDER
from segments.metrics import rfm, scheduler

BY_MAX = " A value of the deployment, which every web server reports: read it by max()."
logger = logging.getLogger(__name__)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text; 404 to clients that METRICS_ALLOWED does not name."""
    if not may_see_metrics(request.META["REMOTE_ADDR"]):
        raise Http404
    RECORDER.flush()
    return HttpResponse(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _registry() -> CollectorRegistry:
    """The metrics of all workers, or of this process if it has no folder to share; and those of the database."""
    registry = CollectorRegistry()
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry.register(Processes(_live_workers(folder)))
        registry.register(AllWorkers(folder))
    else:
        registry.register(REGISTRY)
    registry.register(BuildInfo())
    registry.register(DeploymentCollector())
    return registry


class AllWorkers(Collector):
    """The metrics of all workers of this server, including those that have ended."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        """Merge the files of all workers; empty files, which a starting worker has just created, are skipped."""
        files = [str(file) for file in self._folder.glob("*.db") if file.exists() and file.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return merged


def _live_workers(folder: str) -> list[int]:
    """The ids of the workers; removes the live gauges of those that have ended, whose counters stay."""
    pids = {int(file.stem.rpartition("_")[2]) for file in Path(folder).glob("gauge_live*.db")}
    ended = {pid for pid in pids if not Path(f"/proc/{pid}").exists()}
    for pid in ended:
        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    return sorted(pids - ended)


class DeploymentCollector(Collector):
    """Gauges of outbox, relay, RFM and scheduler from the database.

    When it does not answer there is only `ccweb_database_up 0`.
    """

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            gauges = [*outbox(), *relay(), *rfm(), *scheduler()]
        except DatabaseError as error:
            logger.warning("the gauges of the database are missing: %s", error)
            gauges = []
        yield GaugeMetricFamily("ccweb_database_up", "Whether the database answered this scrape.", float(bool(gauges)))
        for gauge in gauges:
            gauge.documentation += BY_MAX
            yield gauge
