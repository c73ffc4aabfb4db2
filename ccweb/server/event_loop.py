"""The web worker's application (RSGI): one event loop answers or hands on every request of the worker.

The life of a request: its body is read; if it is one for a fast route (fast_path.py) it waits in a queue of that route
until the batch before it is done (batching.py), and its batch is answered by the steps of the route (performer.py);
otherwise one of a few threads asks Django (django_threads.py).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import IO, Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from prometheus_client import Gauge

from ccweb.api.problems import PROBLEM_JSON, RETRY_AFTER_SECONDS, UNFORESEEN, Problem, problem
from ccweb.api.renderers import as_json
from ccweb.api.routes import paths_of
from ccweb.request import deadline
from ccweb.request.request_id import request_id, request_id_of
from ccweb.server import fast_path, request_body, worker
from ccweb.server.batching import Batcher, TooLate, Work
from ccweb.server.common_headers import JSON
from ccweb.server.django_threads import DjangoThreads, environ_of, peer_of
from ccweb.server.fast_route import FastAnswer, FastRequest, FastRoute, NotEligible, PendingRequest
from ccweb.server.performer import Performer
from ccweb.server.request_log import log_request

UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # for a header whose value is not ASCII
LATE = Problem(408, "The body did not arrive in time.", {"Connection": "close"})
BUSY = Problem(503, "Every worker is busy; try again.", {"Retry-After": RETRY_AFTER_SECONDS})
FAILED = Problem(500, UNFORESEEN)
LAG_INTERVAL_SECONDS = 0.1
LAG = Gauge(
    "ccweb_loop_lag_seconds", "How late a worker's event loop was, at most in 10 s.", multiprocess_mode="livemax"
)
SENT_AFTER_SECONDS = 10.0  # by then the server has opened a temporary file
ALIVE = {"status": "ok"}
logger = logging.getLogger(__name__)


class EventLoop:
    """Answers the requests of one worker; granian calls `__rsgi__` once for each."""

    def __init__(self, handler: WSGIHandler, routes: Sequence[FastRoute]) -> None:
        self.stopping = False  # then each answer ends its connection
        self._threads = DjangoThreads(handler)
        self._fast_path = fast_path.FastPath(routes if connection.vendor == "postgresql" else ())
        self._performers: list[Performer] = []
        self._lag: asyncio.Task[None] | None = None
        # Each batch that runs has its own connections: to PostgreSQL there are the sum of the queues, and the threads'.
        self._queues = {(route.route, queue): self._batcher(route, queue) for route in routes for queue in route.queues}

    def _batcher(self, route: FastRoute, queue: str) -> Batcher[PendingRequest, FastAnswer]:
        return Batcher([self._work(route, queue) for _ in range(route.queues[queue])])

    def _work(self, route: FastRoute, queue: str) -> Work[PendingRequest, FastAnswer]:
        performer = Performer(self._threads.run)
        self._performers.append(performer)

        async def answer(requests: Sequence[PendingRequest]) -> Sequence[FastAnswer]:
            request_id.set(",".join(request.request_id for request in requests))  # for what is logged meanwhile
            with deadline.until(min(request.deadline for request in requests)):
                return await performer.run(fast_path.serve(route, queue, requests))

        return answer

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian before the first request."""
        worker.stop_gently(loop, self._stop)
        self._lag = loop.create_task(measure_lag())

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called by granian after the last answer."""
        loop.run_until_complete(self._close())
        self._threads.close()

    def _stop(self) -> None:
        self.stopping = True

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        exchange = Exchange(scope, protocol, self)
        request_id.set(exchange.request_id)
        try:
            await self._answer(exchange)
        except request_body.LateBody:
            exchange.refuse(LATE)
        except TooLate:
            exchange.refuse(BUSY)
        except Exception:
            logger.exception("unexpected error in the event loop")
            exchange.refuse(FAILED)

    async def _answer(self, exchange: "Exchange") -> None:
        if exchange.method in ("GET", "HEAD") and exchange.path in paths_of("healthz"):
            exchange.send_json("healthz", FastAnswer(HTTPStatus.OK, ALIVE))
            return
        body = await request_body.receive(exchange.protocol, exchange.headers)
        until = time.monotonic() + deadline.DEADLINE_SECONDS
        if not await self._answer_fast(exchange, body, until):
            await self._ask_django(exchange, body, until)

    async def _close(self) -> None:
        if self._lag:
            self._lag.cancel()
        for performer in self._performers:
            await performer.close()

    async def _answer_fast(self, exchange: "Exchange", body: bytes, until: float) -> bool:
        """False when Django has to answer; then nothing has changed."""
        found = self._fast_path.route_for(exchange.method, exchange.path)
        if found is None or not exchange.is_plain or len(body) != request_body.length_of(exchange.headers):
            return False
        route, variables = found
        scope = exchange.scope
        request = FastRequest(scope.query_string, exchange.headers, peer_of(scope), body)
        try:
            queue, pending, permission = self._fast_path.decide(route, variables, request, exchange.request_id, until)
        except NotEligible:
            return False
        answer = await self._queues[route.route, queue](pending)
        shared = permission.shared.of_view if answer.by_view else permission.shared.of_limits
        exchange.send_json(route.route, answer, shared)
        return True

    async def _ask_django(self, exchange: "Exchange", body: bytes, until: float) -> None:
        environ = environ_of(exchange.scope, exchange.all_headers(), body)
        environ["HTTP_X_REQUEST_ID"] = exchange.request_id
        answer = await self._threads.answer(environ, until)
        exchange.send(answer.status, answer.headers, answer.content, answer.file)


async def measure_lag() -> None:
    """Show how late the event loop calls a timer: the longest of the last ten seconds."""
    lags = deque([0.0], maxlen=round(10 / LAG_INTERVAL_SECONDS))
    while True:
        begun = time.monotonic()
        await asyncio.sleep(LAG_INTERVAL_SECONDS)
        lags.append(max(0.0, time.monotonic() - begun - LAG_INTERVAL_SECONDS))
        LAG.set(max(lags))


class Exchange:
    """One request and the way to answer it."""

    def __init__(self, scope: Any, protocol: Any, event_loop: EventLoop) -> None:
        self.scope, self.protocol, self.begun = scope, protocol, time.monotonic()
        self.method, self.path, self._event_loop = scope.method, scope.path, event_loop
        items = scope.headers.items()
        self.headers: dict[str, str] = dict(items)
        # No header was sent twice, and each can be read.
        self.is_plain = len(items) == len(self.headers) == len(scope.headers)
        self.request_id = request_id_of(self.headers.get("x-request-id", ""))

    def all_headers(self) -> Mapping[str, str]:
        """The headers as a WSGI environment has them: values of equal names joined, unreadable ones marked."""
        if self.is_plain:
            return self.headers
        joined: dict[str, str] = {}
        for name, value in self.scope.headers.items():
            joined[name] = f"{joined[name]}{'; ' if name == 'cookie' else ','}{value}" if name in joined else value
        return dict.fromkeys(self.scope.headers.keys(), UNREADABLE) | joined

    def refuse(self, refusal: Problem) -> None:
        """Answer with a problem instead of Django."""
        body = problem(refusal.status, refusal.detail)
        self.send_json("unmatched", FastAnswer(refusal.status, body, refusal.headers))

    def send_json(self, route: str, answer: FastAnswer, shared: Sequence[tuple[str, str]] = ()) -> None:
        """Answer in JSON instead of Django, with one log line."""
        kind = JSON if answer.status < HTTPStatus.BAD_REQUEST else PROBLEM_JSON
        own = [("Content-Type", kind), ("X-Request-ID", self.request_id), *answer.headers.items()]
        self.send(answer.status, [*own, *shared], as_json(answer.body))
        log_request(
            method=self.method,
            path=self.path,
            route=route,
            status=answer.status,
            seconds=time.monotonic() - self.begun,
            outcomes=answer.outcomes,
            request_id=self.request_id,
        )

    def send(
        self, status: int, headers: list[tuple[str, str]], content: bytes, file: str | IO[bytes] | None = None
    ) -> None:
        """Give the answer to the server, which writes it; nothing waits for the client."""
        if self._event_loop.stopping:
            headers = [*headers, ("Connection", "close")]
        if file is None:
            self.protocol.response_bytes(status, headers, content)
        elif isinstance(file, str):
            self.protocol.response_file(status, headers, file)
        else:  # the file has no name, so nothing is left behind by a killed worker
            self.protocol.response_file(status, headers, f"/proc/self/fd/{file.fileno()}")
            asyncio.get_running_loop().call_later(SENT_AFTER_SECONDS, file.close)
