"""Wraps Django's WSGI application: each request gets its body, a deadline, and a slot to run in."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Self, cast

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from ccweb.api.routes import paths_of
from ccweb.request import deadline
from ccweb.server import concurrency, request_body, watchdog
from ccweb.server.request_log import EARLY_STATUS

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Django = Callable[[Environ, StartResponse], HttpResponseBase]


class RequestScope:
    """The deadline and the slot of one request, held until it is answered; for a stream until it is sent."""

    def __init__(self) -> None:
        self._stream: HttpResponseBase | None = None

    def __enter__(self) -> Self:
        self.deadline = deadline.begin()
        return self

    def __exit__(self, *error: object) -> None:
        if self._stream is None:
            self._end()

    def stream(self, response: HttpResponseBase) -> Self:
        """A streaming response, without a deadline: the server sends what iterating yields, then calls close()."""
        self._stream, self.deadline.deadline = response, math.inf
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(cast(Iterable[bytes], self._stream))

    def close(self) -> None:
        """Called by the server after the last chunk, or when the client disconnected."""
        try:
            cast(HttpResponseBase, self._stream).close()
        finally:
            self._end()

    def _end(self) -> None:
        """Release the slot and end the deadline."""
        try:
            concurrency.leave(self.deadline)
        finally:
            deadline.end()


def scoped(
    application: Callable[[Environ, StartResponse], HttpResponseBase | list[bytes]],
) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """Wrap a WSGI application so that its requests have bodies and deadlines. Call it once a worker.

    A request that has failed already carries the status in EARLY_STATUS of its environment.
    """
    watchdog.start()

    def serve(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with RequestScope() as scope:
            if not request_body.receive(environ, scope.deadline):
                environ[EARLY_STATUS] = 408
            response = application(environ, start_response)
            if isinstance(response, list):
                return response
            if isinstance(response, HttpResponse):
                with closing(response):
                    return [response.content]
            return scope.stream(response)

    return serve


def in_slot(django: Django) -> Django:
    """Wrap Django so that each request holds a slot (ccweb.server.concurrency) until it is answered.

    The response is 503 when no slot was free in time.
    """

    def work(environ: Environ, start_response: StartResponse) -> HttpResponseBase:
        path, request = environ["PATH_INFO"], deadline.current()
        if request and EARLY_STATUS not in environ and _works(path) and not concurrency.enter(request, path):
            environ[EARLY_STATUS] = 503
        return django(environ, start_response)

    return work


def _works(path: str) -> bool:
    """Whether a request to this path may need the database."""
    return not path.startswith((*paths_of("healthz"), settings.STATIC_URL))
