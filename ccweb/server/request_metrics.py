"""Prometheus metrics of the requests and events that a worker answers."""

from collections.abc import Mapping
from functools import cache

from prometheus_client import Counter, Histogram

from ccweb.api.routes import creating_viewsets

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds; 5 is the deadline
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
    "Events sent by clients, by outcome; a list that was refused as a whole counts once.",
    ["kind", "outcome"],
)
# Cached, because labels() takes a lock and builds strings on each call.
_request_counter = cache(lambda method, route, status: REQUESTS.labels(method, route, status))
_timer = cache(lambda method, route: SECONDS.labels(method, route))
_event_counter = cache(lambda kind, outcome: EVENTS.labels(kind, outcome))


def count_request(*, method: str, route: str, status: int, seconds: float) -> None:
    _request_counter(method, route, status).inc()
    _timer(method, route).observe(seconds)


def count_events(*, path: str, method: str, status: int, outcomes: Mapping[str, int] | None = None) -> None:
    """Count the events of a request: those of a list by their `outcomes`, a single one by the status."""
    kind = _kinds_of_events().get(path) if method == "POST" else None
    if kind is None:
        return
    for outcome, times in (outcomes or {OUTCOMES.get(status, str(status)): 1}).items():
        _event_counter(kind, outcome).inc(times)


@cache
def _kinds_of_events() -> dict[str, str]:
    """The label `kind` by path of each route that records events: the app label of the viewset's model."""
    return {
        path: view.queryset.model._meta.app_label  # type: ignore[union-attr]
        for path, view in creating_viewsets().items()
    }
