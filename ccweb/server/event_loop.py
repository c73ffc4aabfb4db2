"""The web worker's application (RSGI): one event loop answers or hands on every request of the worker.

The life of a request: its body is read; if it is one for a fast route (fast_path.py) it waits in a queue of that route
until the batch before it is done (batching.py), and its batch is answered by the steps of the route (performer.py);
otherwise one of a few threads asks Django (django_threads.py).
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from prometheus_client import Gauge

from ccweb.api.authentication import KEY_CACHE, PresentedKey
from ccweb.api.problems import PROBLEM_JSON, RETRY_AFTER_SECONDS, UNFORESEEN, Problem, problem
from ccweb.api.renderers import as_json
from ccweb.api.routes import paths_of
from ccweb.request import deadline
from ccweb.request.client_address import client_address, sign_of_a_proxy
from ccweb.request.origin import Origin, origin
from ccweb.request.request_id import request_id_of
from ccweb.request.traceparent import traceparent_of
from ccweb.server import fast_path, request_body, worker
from ccweb.server.batching import Batcher, TooLate, Work
from ccweb.server.common_headers import JSON
from ccweb.server.django_threads import DjangoThreads, HttpAnswer, environ_of, peer_of, protocol_of
from ccweb.server.fast_route import FastAnswer, FastRequest, FastRoute, NotEligible, PendingRequest
from ccweb.server.performer import Performer
from ccweb.server.request_log import log_request

UNREADABLE = "\N{REPLACEMENT CHARACTER}"  # for a header whose value is not ASCII
LATE = Problem(408, "The body did not arrive in time.", {"Connection": "close"})
BUSY = Problem(503, "Every worker is busy; try again.", {"Retry-After": RETRY_AFTER_SECONDS})
FAILED = Problem(500, UNFORESEEN)
UNREADABLE_HEADER = Problem(400, "A forwarded header holds characters that are not ASCII.")
LAG_INTERVAL_SECONDS = 0.1
LAG = Gauge(
    "ccweb_loop_lag_seconds", "How late a worker's event loop was, at most in 10 s.", multiprocess_mode="livemax"
)
OPENED_AFTER_SECONDS = 10.0  # by then the server has opened a temporary file; one that it has not is not found
ALIVE = {"status": "ok"}
logger = logging.getLogger(__name__)


class EventLoop:
    """Answers the requests of one worker; granian calls `__rsgi__` once for each."""

    def __init__(self, handler: WSGIHandler, routes: Sequence[FastRoute]) -> None:
        self.stopping = False  # then each answer ends its connection
        self._threads = DjangoThreads(handler)
        self._fast_path = fast_path.FastPath(routes if connection.vendor == "postgresql" else (), self._refresh_key)
        self._refreshing: set[asyncio.Task[Any]] = set()
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
            ids = ",".join(request.origin.request_id for request in requests)
            origin.set(Origin(ids))  # for what is logged meanwhile
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

    def _refresh_key(self, key: PresentedKey) -> None:
        """Look a key up again in a thread, while requests still use its entry in the cache."""
        with deadline.until(time.monotonic() + deadline.DEADLINE_SECONDS):
            task = asyncio.get_running_loop().create_task(self._threads.run(partial(KEY_CACHE.refresh, key)))
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request."""
        exchange = Exchange(scope, protocol, self)
        origin.set(exchange.origin)
        try:
            await self._answer(exchange)
        except request_body.LateBody:
            exchange.refuse(LATE)
        except TooLate:
            exchange.refuse(BUSY)
        except Exception:
            logger.exception("unexpected error in the event loop")
            exchange.refuse(FAILED)
        await request_body.discard(protocol, exchange.headers)

    async def _answer(self, exchange: "Exchange") -> None:
        if exchange.path in paths_of("healthz") and exchange.has_nothing_to_refuse():
            exchange.route = "healthz"
            exchange.send_json(FastAnswer(HTTPStatus.OK, ALIVE))
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
        if settings.API_IS_OPEN and sign_of_a_proxy(exchange.headers, protocol_of(exchange.scope)):
            return False
        route, variables = found
        scope = exchange.scope
        request = FastRequest(scope.query_string, exchange.headers, peer_of(scope), body)
        try:
            queue, pending, permission = self._fast_path.decide(route, variables, request, exchange.origin, until)
        except NotEligible:
            return False
        exchange.route, exchange.origin = route.route, pending.origin
        answer = await self._queues[route.route, queue](pending)
        shared = permission.shared.of_view if answer.by_view else permission.shared.of_limits
        exchange.send_json(answer, shared)
        return True

    async def _ask_django(self, exchange: "Exchange", body: bytes, until: float) -> None:
        headers = exchange.all_headers()
        if UNREADABLE in (headers.get("x-forwarded-for"), headers.get("x-forwarded-proto")):
            exchange.refuse(UNREADABLE_HEADER)
            return
        environ = environ_of(exchange.scope, headers, body)
        environ["HTTP_X_REQUEST_ID"] = exchange.origin.request_id
        exchange.send(await self._threads.answer(environ, until))


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
        self.route = "unmatched"  # as in metrics and log
        self.method, self.path, self._event_loop = scope.method, scope.path, event_loop
        items = scope.headers.items()
        self.headers: dict[str, str] = dict(items)
        # No header was sent twice, as far as they can be read, and none is unreadable as a whole.
        self.is_plain = len(items) == len(self.headers) == len(scope.headers)
        sent = self.headers.get
        self.origin = Origin(request_id_of(sent("x-request-id", "")), traceparent_of(sent("traceparent", "")))

    def has_nothing_to_refuse(self) -> bool:
        """Whether it only asks, without a body that would have to be refused."""
        return self.method in ("GET", "HEAD") and request_body.has_none(self.headers)

    def all_headers(self) -> Mapping[str, str]:
        """The headers as a WSGI environment has them: values of equal names joined, unreadable ones marked.

        Unreadable cookies are left out: Django would fail to decode the mark, and other sites of the domain set them.
        """
        if self.is_plain:
            return self.headers
        joined: dict[str, str] = {}
        for name, value in self.scope.headers.items():
            joined[name] = f"{joined[name]}{'; ' if name == 'cookie' else ','}{value}" if name in joined else value
        return dict.fromkeys(set(self.scope.headers.keys()) - {"cookie"}, UNREADABLE) | joined

    def refuse(self, refusal: Problem) -> None:
        """Answer with a problem instead of Django."""
        body = problem(refusal.status, refusal.detail)
        self.send_json(FastAnswer(refusal.status, body, refusal.headers))

    def send_json(self, answer: FastAnswer, shared: Sequence[tuple[str, str]] = ()) -> None:
        """Answer in JSON instead of Django, with one log line."""
        kind = JSON if answer.status < HTTPStatus.BAD_REQUEST else PROBLEM_JSON
        own = [("Content-Type", kind), ("X-Request-ID", self.origin.request_id), *answer.headers.items()]
        self.send(HttpAnswer(answer.status, [*own, *shared], as_json(answer.body)))
        log_request(
            method=self.method,
            path=self.path,
            route=self.route,
            status=answer.status,
            seconds=time.monotonic() - self.begun,
            outcomes=answer.outcomes,
            origin=self.origin if self.origin.client else self.origin._replace(client=self._client()),
        )

    def _client(self) -> str:
        return client_address(peer_of(self.scope), self.all_headers().get("x-forwarded-for", ""))

    def send(self, answer: HttpAnswer) -> None:
        """Give the answer to the server, which writes it; nothing waits for the client."""
        headers = [*answer.headers, ("Connection", "close")] if self._event_loop.stopping else answer.headers
        if not answer.file:
            self.protocol.response_bytes(answer.status, headers, answer.content)
            return
        self.protocol.response_file(answer.status, headers, answer.file)
        if answer.is_temporary:
            asyncio.get_running_loop().call_later(OPENED_AFTER_SECONDS, os.unlink, answer.file)
