"""What stands between the server and Django: each request gets its body, a deadline, and a slot to work in."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from ccweb.api.routes import paths_of
from ccweb.request import deadline
from ccweb.server import concurrency, request_body, watchdog
from ccweb.server.request_log import REFUSAL

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Front:
    """The WSGI application: another one, whose requests have their bodies and deadlines. Make one a worker."""

    def __init__(self, application: Callable[[Environ, StartResponse], HttpResponseBase | list[bytes]]) -> None:
        self._application = application
        watchdog.start()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The answer; Django is told by REFUSAL what has gone wrong already."""
        with Visit() as visit:
            if not request_body.receive(environ, visit.flight):
                environ[REFUSAL] = 408
            response = self._application(environ, start_response)
            if isinstance(response, list):
                return response
            if isinstance(response, HttpResponse):
                with closing(response):
                    return [response.content]
            return visit.stream(response)


class InSlot:
    """Django, each of whose requests works in a slot (ccweb.server.concurrency) until it is answered."""

    def __init__(self, django: Callable[[Environ, StartResponse], HttpResponseBase]) -> None:
        self._django = django

    def __call__(self, environ: Environ, start_response: StartResponse) -> HttpResponseBase:
        """Django's response, that of a refusal when no slot was free in time."""
        path, flight = environ["PATH_INFO"], deadline.current()
        if flight and REFUSAL not in environ and _works(path) and not concurrency.enter(flight, path):
            environ[REFUSAL] = 503
        return self._django(environ, start_response)


def _works(path: str) -> bool:
    """Whether a request to this path may need the database."""
    return not path.startswith((*paths_of("healthz"), settings.STATIC_URL))


class Visit:
    """The flight of one request, with its slot if it takes one, until it is answered: of a stream, until it is sent."""

    def __init__(self) -> None:
        self._streams = False

    def __enter__(self) -> "Visit":
        self.flight = deadline.take_off()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._streams:
            self.end()

    def stream(self, response: HttpResponseBase) -> "Stream":
        """An answer that takes its time."""
        self._streams, self.flight.deadline = True, math.inf
        return Stream(response, self)

    def end(self) -> None:
        """Make room for the next request."""
        try:
            concurrency.leave(self.flight)
        finally:
            deadline.land()


class Stream:
    """A response that keeps its slot until the server has sent it."""

    def __init__(self, response: HttpResponseBase, visit: Visit) -> None:
        self._response, self._visit = response, visit

    def __iter__(self) -> Iterator[bytes]:
        return iter(cast(Iterable[bytes], self._response))

    def close(self) -> None:
        """Called by the server when it has sent everything, or given up."""
        try:
            self._response.close()
        finally:
            self._visit.end()
