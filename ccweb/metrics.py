"""/metrics: what the operator's alerts read, of all worker processes together."""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from ccweb.api.permissions import may_see_metrics
from ccweb.gauges import DeploymentCollector

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds; 5 is the deadline
DOORS = {"/api/actions": "actions", "/api/notify/site_visit": "visits"}
OUTCOMES = {
    200: "duplicate",
    201: "accepted",
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    408: "incomplete",
    409: "conflict",
    410: "erased",
    411: "chunked",
    413: "too_large",
    415: "not_json",
    429: "throttled",
    503: "unavailable",
}
REQUESTS = Counter("ccweb_requests", "Answered requests.", ["method", "route", "status"])
SECONDS = Histogram("ccweb_request_seconds", "Time to the answer.", ["method", "route"], buckets=BUCKETS)
EVENTS = Counter(
    "ccweb_events",
    "Events that were sent, by what became of each; a list that was refused as a whole counts once.",
    ["kind", "outcome"],
)


def note_request(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    _request_counter(method, route, status).inc()
    _timer(method, route).observe(seconds)


def note_events(*, path: str, method: str, status: int, outcomes: Mapping[str, int] | None = None) -> None:
    """Count the events that a request brought: those of a list by their `outcomes`, else one by the status."""
    if method != "POST" or path not in DOORS:
        return
    for outcome, times in (outcomes or {OUTCOMES.get(status, str(status)): 1}).items():
        _event_counter(DOORS[path], outcome).inc(times)


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


# labels() takes a lock and builds strings each time.
_request_counter = cache(lambda method, route, status: REQUESTS.labels(method, route, status))
_timer = cache(lambda method, route: SECONDS.labels(method, route))
_event_counter = cache(lambda kind, outcome: EVENTS.labels(kind, outcome))
