"""What stands between the server and Django: each request gets a deadline, its body, and a slot to work in."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from ccweb import bodies, slots, watchdog
from ccweb.api import deadlines
from ccweb.observing import REFUSAL

StartResponse = Callable[..., Any]
FREE = ("/healthz", settings.STATIC_URL)  # of the database


class Front:
    """The WSGI application: Django's, behind deadlines and slots. Make one a worker."""

    def __init__(self, django: Callable[[dict[str, Any], StartResponse], HttpResponseBase | list[bytes]]) -> None:
        self._django = django
        watchdog.start()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """The answer; Django is told by REFUSAL what has gone wrong already."""
        with Visit(environ) as visit:
            if refusal := visit.begin():
                environ[REFUSAL] = refusal
            response = self._django(environ, start_response)
            if isinstance(response, list):
                return response
            if isinstance(response, HttpResponse):
                with closing(response):
                    return [response.content]
            return visit.stream(response)


class Visit:
    """The deadline and the slot of one request, until it is answered: of a stream, until it is sent."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ, self._path = environ, environ["PATH_INFO"]
        self._slots = slots.slots_for(self._path)
        self._streams = False

    def __enter__(self) -> "Visit":
        self._flight = deadlines.take_off()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._streams:
            self.end()

    def begin(self) -> int | None:
        """Read the body and take a slot; the status of a refusal."""
        if not bodies.receive(self._environ, self._flight):
            return 408
        if self._path.startswith(FREE) or self._slots.enter(self._flight):
            return None
        return 503

    def stream(self, response: HttpResponseBase) -> "Stream":
        """An answer that takes its time."""
        self._streams, self._flight.deadline = True, math.inf
        return Stream(response, self)

    def end(self) -> None:
        """Make room for the next request."""
        try:
            self._slots.leave(self._flight)
        finally:
            deadlines.land()


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
