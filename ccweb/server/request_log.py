"""The outermost middleware: gives each request its id, counts and times it, and writes its one log line."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from multiprocessing.util import Finalize

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ccweb.api.problems import unavailable
from ccweb.db.errors import database_is_away
from ccweb.request.origin import Origin, learn, origin
from ccweb.request.request_id import REQUEST_LOG, request_id_of
from ccweb.request.traceparent import traceparent_of
from ccweb.server import request_metrics
from ccweb.server.request_metrics import AnsweredRequest

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
QUIET = {"healthz", "readyz", "metrics"}  # requested every few seconds by probes: logged at DEBUG
FLUSH_INTERVAL_SECONDS = 0.1
logger = logging.getLogger(REQUEST_LOG)


class RequestLog:
    """X-Request-ID in and out, metrics, and one log line a request without path, query, body or secret."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the request id that is also in the log and in the Kafka header."""
        current = request_id_of(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = origin.set(Origin(current, traceparent_of(request.META.get("HTTP_TRACEPARENT", ""))))
        try:
            begun = time.perf_counter()
            response = self.get_response(request)
            response["X-Request-ID"] = current
            learn(client=request.META["REMOTE_ADDR"], staff=staff_of(request))
            log_request(
                method=str(request.method),
                path=request.path,
                route=route_of(request),
                status=response.status_code,
                seconds=time.perf_counter() - begun,
                outcomes=getattr(response, "outcomes", None),
                origin=origin.get(),
            )
            return response
        finally:
            origin.reset(token)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """503 when the database is unavailable in a view outside DRF, such as the admin's."""
        return unavailable(request, error) if database_is_away(error) else None


def route_of(request: HttpRequest) -> str:
    """The route's pattern, "unmatched" if there is none: few values, and free of user ids."""
    if match := request.resolver_match:
        return match.route if match.url_name or not match.route.startswith("api/") else "unmatched"
    return "static" if request.path.startswith(settings.STATIC_URL) else "unmatched"


def staff_of(request: HttpRequest) -> str:
    """The user name of a signed-in member of staff, if the answer depended on it: the log itself reads no session."""
    user = getattr(request, "_cached_user", None)  # where Django keeps the user that it looked up
    return user.get_username() if user is not None else ""


class Recorder:
    """Counts and logs answered requests: at once, in a web worker together every FLUSH_INTERVAL_SECONDS."""

    def __init__(self) -> None:
        self._answered: deque[AnsweredRequest] = deque()  # appended to by several threads
        self._lock = threading.Lock()
        self._gathers = False

    def record(self, answered: AnsweredRequest) -> None:
        self._answered.append(answered)
        if not self._gathers:
            self.flush()

    def gather(self) -> None:
        """Start to gather in this process. A kill -9 loses the counts and lines of the last interval."""
        self._gathers = True
        threading.Thread(target=self._run, name="requests", daemon=True).start()
        Finalize(None, self.flush, exitpriority=5)  # atexit does not run in the workers of granian
        os.register_at_fork(after_in_child=self._stop_gathering)

    def flush(self) -> None:
        """Count and log what was gathered."""
        with self._lock:  # so that no other thread takes a request between its being counted and popped
            self._flush()

    def _flush(self) -> None:
        answered = [self._answered.popleft() for _ in range(len(self._answered))]
        request_metrics.count_requests(answered)
        for request in answered:
            _log(request)

    def _stop_gathering(self) -> None:
        """In a forked child there is no flushing thread, and the parent counts what it has gathered."""
        self._answered.clear()
        self._lock, self._gathers = threading.Lock(), False

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_INTERVAL_SECONDS):
            try:
                self.flush()
            except Exception:
                logger.exception("requests could not be counted or logged")


RECORDER = Recorder()


def log_request(
    *,
    method: str,
    path: str,
    route: str,
    status: int,
    seconds: float,
    origin: Origin,
    outcomes: Mapping[str, int] | None = None,
) -> None:
    """Count an answered request and its events by outcome, and write its log line."""
    method = method if method in METHODS else "other"
    RECORDER.record(AnsweredRequest(method, path, route, status, seconds, outcomes, origin, time.time()))


def _log(request: AnsweredRequest) -> None:
    method, _, route, status, seconds, _, current, at = request
    level = logging.WARNING if status >= 500 else logging.DEBUG if route in QUIET else logging.INFO
    if logger.isEnabledFor(level):
        message = f"{method} /{route} {status}"
        record = logger.makeRecord(REQUEST_LOG, level, "", 0, message, (), None)
        record.created = at
        record.origin = current
        fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        record.fields = fields | current.who()
        logger.handle(record)
