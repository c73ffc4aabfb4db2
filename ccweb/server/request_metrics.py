"""Prometheus metrics of the requests and events that a worker answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import prometheus_client
from prometheus_client import Histogram

from ccweb.api.routes import creating_viewsets
from ccweb.request.origin import Origin

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
NO_KEY, OTHER_KEYS = "(none)", "(other)"
MAX_KEY_NAMES = 500  # of one process: Prometheus keeps a time series for each
REQUESTS = prometheus_client.Counter("ccweb_requests", "Answered requests.", ["method", "route", "status"])
SECONDS = Histogram("ccweb_request_seconds", "Time to the answer.", ["method", "route"], buckets=BUCKETS)
BY_KEY = prometheus_client.Counter(
    "ccweb_requests_by_key", f'Answered requests by the name of their valid API key, or "{NO_KEY}".', ["key"]
)
EVENTS = prometheus_client.Counter(
    "ccweb_events",
    "Events sent by clients, by outcome; a list that was refused as a whole counts once.",
    ["kind", "outcome"],
)
# Cached, because labels() takes a lock and builds strings on each call.
_request_counter = cache(lambda method, route, status: REQUESTS.labels(method, route, status))
_timer = cache(lambda method, route: SECONDS.labels(method, route))
_event_counter = cache(lambda kind, outcome: EVENTS.labels(kind, outcome))
_key_counters: dict[str, prometheus_client.Counter] = {}


class AnsweredRequest(NamedTuple):
    """What is counted and logged about a request; `at` is in Unix seconds."""

    method: str
    path: str
    route: str
    status: int
    seconds: float
    outcomes: Mapping[str, int] | None
    origin: Origin
    at: float


def count_requests(answered: Sequence[AnsweredRequest]) -> None:
    """Count requests, their times, and their events: those of a list by `outcomes`, a single one by the status."""
    requests: Counter[tuple[str, str, int]] = Counter()
    keys: Counter[str] = Counter()
    events: Counter[tuple[str, str]] = Counter()
    for request in answered:
        method, route, status = request.method, request.route, request.status
        requests[method, route, status] += 1
        keys[request.origin.key_name] += 1
        _timer(method, route).observe(request.seconds)
        kind = _kinds_of_events().get(request.path) if method == "POST" else None
        if kind:
            for outcome, times in (request.outcomes or {OUTCOMES.get(status, str(status)): 1}).items():
                events[kind, outcome] += times
    for labels, times in requests.items():
        _request_counter(*labels).inc(times)
    for name, times in keys.items():
        _key_counter(name).inc(times)
    for names, times in events.items():
        _event_counter(*names).inc(times)


def _key_counter(name: str) -> prometheus_client.Counter:
    if name not in _key_counters:
        label = (name or NO_KEY) if len(_key_counters) < MAX_KEY_NAMES else OTHER_KEYS
        _key_counters[name] = BY_KEY.labels(label)
    return _key_counters[name]


@cache
def _kinds_of_events() -> dict[str, str]:
    """The label `kind` by path of each route that records events: the app label of the viewset's model."""
    return {
        path: view.queryset.model._meta.app_label  # type: ignore[union-attr]
        for path, view in creating_viewsets().items()
    }
