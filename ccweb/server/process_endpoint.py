"""/metrics and /healthz of a process that answers nothing else: the relay and the scheduler, on METRICS_PORT."""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.core.management import CommandError
from prometheus_client import REGISTRY, CollectorRegistry, MetricsHandler

from ccweb.api.permissions import may_see_metrics
from ccweb.api.routes import paths_of
from ccweb.server.process_metrics import BuildInfo

STUCK_AFTER_SECONDS = 60.0  # without a new round; none waits that long for Kafka or for the database
CLIENT_TIMEOUT_SECONDS = 5.0
logger = logging.getLogger(__name__)


def serve(turned_at: Callable[[], float]) -> None:
    """Listen in threads on METRICS_HOST and METRICS_PORT, if that is not 0; CommandError when it cannot.

    `turned_at` returns when the loop of the process last began a round (time.monotonic()).
    """
    if settings.METRICS_PORT:
        listen(settings.METRICS_HOST, settings.METRICS_PORT, turned_at)


def listen(host: str, port: int, turned_at: Callable[[], float]) -> "Endpoint":
    """The endpoint, which serves until the process ends or its `shutdown` is called."""
    try:
        endpoint = Endpoint(host, port, turned_at)
    except OSError as error:
        raise CommandError(f"METRICS_HOST and METRICS_PORT, {host} and {port}, cannot be used: {error}") from None
    threading.Thread(target=endpoint.serve_forever, name="endpoint", daemon=True).start()
    return endpoint


class Endpoint(ThreadingHTTPServer):
    """The server, with what its handlers need."""

    def __init__(self, host: str, port: int, turned_at: Callable[[], float]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.turned_at = turned_at
        super().__init__((host, port), EndpointHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """One line, not a traceback on standard error: most often the client has gone."""
        logger.warning("a request to the metrics port failed: %r", sys.exception())


class EndpointHandler(MetricsHandler):
    """/metrics to those who may see it, as in the web process; /healthz to everybody."""

    timeout = CLIENT_TIMEOUT_SECONDS
    registry = CollectorRegistry()
    registry.register(REGISTRY)
    registry.register(BuildInfo())
    server: Endpoint

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in paths_of("healthz"):
            self._answer(*health(time.monotonic() - self.server.turned_at()))
        elif path in paths_of("metrics") and may_see_metrics(self.client_address[0]):
            super().do_GET()
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"status": "not found"})

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(orjson.dumps(body))


def health(seconds: float) -> tuple[HTTPStatus, dict[str, Any]]:
    """503 when the last round began longer ago than STUCK_AFTER_SECONDS: only a restart helps then."""
    is_stuck = seconds > STUCK_AFTER_SECONDS
    status = HTTPStatus.SERVICE_UNAVAILABLE if is_stuck else HTTPStatus.OK
    return status, {"status": "stuck" if is_stuck else "ok", "last_round_seconds_ago": round(seconds, 1)}
