"""What stands between the server and Django: each request gets a deadline, its body, and a slot to work in."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
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
        with ExitStack() as stack:
            flight = stack.enter_context(deadlines.flight())
            refusal = None if bodies.receive(environ, flight) else 408
            if not refusal and not environ["PATH_INFO"].startswith(FREE):
                refusal = None if stack.enter_context(slots.slot(environ["PATH_INFO"], flight)) else 503
            if refusal:
                environ[REFUSAL] = refusal
            response = self._django(environ, start_response)
            if isinstance(response, list):
                return response
            stack.callback(response.close)
            if isinstance(response, HttpResponse):
                return [response.content]
            flight.deadline = math.inf
            return Stream(cast(Iterable[bytes], response), stack.pop_all().close)
        raise AssertionError("the stack swallows nothing")


class Stream:
    """A response that keeps its slot until the server has sent it."""

    def __init__(self, response: Iterable[bytes], close: Callable[[], None]) -> None:
        self._response, self.close = response, close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._response)
