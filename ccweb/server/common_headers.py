"""The headers that Django's middlewares and the view add to every answer of a fast route."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.module_loading import import_string

from ccweb.api.routes import routes
from ccweb.server.fast_route import FastRoute

JSON = "application/json"
LIMITS = "ccweb.api.rate_limits.Limits"
# They count and log, refuse, or look for files.
NOT_RUN = {
    "ccweb.server.request_log.RequestLog",
    "ccweb.api.middleware.LoopbackOnly",
    LIMITS,
    "whitenoise.middleware.WhiteNoiseMiddleware",
}
OF_ONE_ANSWER = ("content-type", "content-length")


class Shared(NamedTuple):
    """Headers of the view's answers and of a refusal by the limits, and the request headers by which answers vary."""

    of_view: Sequence[tuple[str, str]]
    of_limits: Sequence[tuple[str, str]]
    varying: Sequence[str]  # in lower case


class CommonHeaders:
    """Found by running the middlewares over an empty answer: nothing is learnt from the answer to a request."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, bool], Shared] = {}

    def of(self, route: FastRoute, is_https: bool) -> Shared:
        """The headers of a route's answers, with or without HTTPS."""
        key = route.route, is_https
        if key not in self._found:
            self._found[key] = _shared(route, is_https)
        return self._found[key]


def _shared(route: FastRoute, is_https: bool) -> Shared:
    host = next((host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"), "localhost")
    sent = {"host": host} | ({"x-forwarded-proto": "https"} if is_https else {})
    request = RequestFactory().generic(route.method, f"/{route.route}", headers=sent)
    outside_of_limits = settings.MIDDLEWARE[: settings.MIDDLEWARE.index(LIMITS)]
    by_view = _run(settings.MIDDLEWARE, request, _headers_of_view(route))
    by_limits = _run(outside_of_limits, request, {})
    varying = [name.strip().lower() for name in by_view.get("Vary", "").split(",") if name]
    # `accept` is one of the headers that decide whether a request may be answered here at all
    return Shared(_lasting(by_view), _lasting(by_limits), [name for name in varying if name != "accept"])


def _run(middlewares: Sequence[str], request: HttpRequest, headers: Mapping[str, str]) -> HttpResponse:
    """The answer that they make of an empty one with these headers."""

    def answer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(content_type=JSON, headers=dict(headers))

    handler: Callable[[HttpRequest], HttpResponse] = answer
    for name in reversed(middlewares):
        if name not in NOT_RUN:
            handler = import_string(name)(handler)
    return handler(request)


def _lasting(response: HttpResponse) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.items() if name.lower() not in OF_ONE_ANSWER]


def _headers_of_view(route: FastRoute) -> dict[str, str]:
    """The headers that the viewset adds to each of its answers, such as Allow."""
    callback = next(pattern.callback for path, pattern in routes() if path[1:] == route.route)
    view, actions = route.view(), callback.actions  # type: ignore[attr-defined]  # set by as_view()
    head = {"head": actions["get"]} if "get" in actions else {}  # as the view does when it is called
    for method, action in (head | actions).items():
        setattr(view, method, getattr(view, action))
    headers: dict[str, str] = view.default_response_headers
    return headers
