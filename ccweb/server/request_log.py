"""The outermost middleware: gives each request its id, counts and times it, and writes its one log line."""

import logging
import time
from collections.abc import Callable, Mapping

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ccweb.api.problems import RETRY_AFTER_SECONDS, plain_problem, unavailable
from ccweb.db.errors import database_is_away
from ccweb.request.request_id import REQUEST_LOG, request_id, request_id_of
from ccweb.server import request_metrics

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
EARLY_STATUS = "ccweb.refusal"  # key in the WSGI environment; its value is the status
EARLY_DETAILS = {
    408: "The body did not arrive in time.",
    503: "Every worker is busy; try again.",
}
QUIET = {"healthz", "readyz", "metrics"}  # requested every few seconds by probes: logged at DEBUG
logger = logging.getLogger(REQUEST_LOG)


class RequestLog:
    """X-Request-ID in and out, metrics, and one log line a request without path, query, body or key."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the request id that is also in the log and in the Kafka header."""
        current = request_id_of(request.META)
        token = request_id.set(current)
        try:
            begun = time.perf_counter()
            response = early_response(request) or self.get_response(request)
            response["X-Request-ID"] = current
            log_request(
                method=str(request.method),
                path=request.path,
                route=route_of(request),
                status=response.status_code,
                seconds=time.perf_counter() - begun,
                outcomes=getattr(response, "outcomes", None),
            )
            return response
        finally:
            request_id.reset(token)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """503 when the database is unavailable in a view outside DRF, such as the admin's."""
        return unavailable(request, error) if database_is_away(error) else None


def early_response(request: HttpRequest) -> HttpResponse | None:
    """The error response to a request that ccweb.server.request_scope refused before Django, else None."""
    status = request.META.get(EARLY_STATUS)
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else None
    return plain_problem(status, EARLY_DETAILS[status], headers) if status else None


def route_of(request: HttpRequest) -> str:
    """The route's pattern, "unmatched" if there is none: few values, and free of user ids."""
    if match := request.resolver_match:
        return match.route if match.url_name or not match.route.startswith("api/") else "unmatched"
    return "static" if request.path.startswith(settings.STATIC_URL) else "unmatched"


def log_request(
    *, method: str, path: str, route: str, status: int, seconds: float, outcomes: Mapping[str, int] | None = None
) -> None:
    """Count an answered request and its events by outcome, and write its log line."""
    method = method if method in METHODS else "other"
    request_metrics.count_request(method=method, route=route, status=status, seconds=seconds)
    request_metrics.count_events(path=path, method=method, status=status, outcomes=outcomes)
    level = logging.WARNING if status >= 500 else logging.DEBUG if route in QUIET else logging.INFO
    if logger.isEnabledFor(level):
        fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        logger.log(level, "%s /%s %d", method, route, status, extra={"fields": fields})
