"""Middlewares of the API: loopback only with DEBUG, checks of headers and size, the Content-Security-Policy."""

from collections.abc import Callable

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ccweb.api.parsers import MAX_LIST_BYTES, TOO_LARGE
from ccweb.api.problems import plain_problem
from ccweb.api.routes import paths_of
from ccweb.request.client_address import is_loopback

GetResponse = Callable[[HttpRequest], HttpResponse]
PROBES = ("healthz", "readyz", "metrics")  # /metrics checks the client address itself
CLOSED = "DEBUG is on, so only clients on this machine are answered. Turn DEBUG off to serve others, with API keys."
CSP_HEADER = "Content-Security-Policy"
CSP_OF_JSON = "default-src 'none'; frame-ancestors 'none'"
MAX_URL_BYTES = 4096


class RequestGuard:
    """Refuses bodies that no path takes, and malformed requests to /api, before the body is parsed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refusal = body_refusal(request) or (request.path.startswith("/api/") and api_refusal(request))
        return refusal or self.get_response(request)


def api_refusal(request: HttpRequest) -> HttpResponse | None:
    """A problem for a wrong Host (400), an encoded body (415), a long URL (414); or None."""
    try:
        request.get_host()
    except DisallowedHost:
        return plain_problem(400, "The Host header is missing or not one that is served here.")
    if "HTTP_CONTENT_ENCODING" in request.META:
        return plain_problem(415, "Encoded bodies are not read: send plain JSON.")
    if len(request.get_full_path()) > MAX_URL_BYTES:
        return plain_problem(414, f"The URL is longer than {MAX_URL_BYTES} bytes.")
    return None


def body_refusal(request: HttpRequest) -> HttpResponse | None:
    """A problem for a chunked body (411), a malformed length (400) or a large body (413); or None."""
    meta = request.META
    if "HTTP_TRANSFER_ENCODING" in meta:
        return plain_problem(411, "Chunked bodies are not read: send a Content-Length.")
    length = meta.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return plain_problem(400, "Content-Length is malformed.")
    if int(length) > MAX_LIST_BYTES:
        return plain_problem(413, TOO_LARGE)
    return None


class ContentPolicy(CSPMiddleware):
    """django-csp for pages only: it builds the policy on each response (0.3 ms), too slow for the API's responses."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = response.get("Content-Type", "")
        if kind.startswith("text/html"):
            return super().process_response(request, response)
        if kind.endswith("json"):
            response[CSP_HEADER] = CSP_OF_JSON
        return response


class LoopbackOnly:
    """While the API is open (DEBUG), refuses every client that is not on this machine, except on PROBES.

    So a server that runs with DEBUG by mistake neither opens the API nor shows its error pages to other machines.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refuses = settings.API_IS_OPEN and not is_loopback(request.META["REMOTE_ADDR"])
        if refuses and request.path not in paths_of(*PROBES):
            return plain_problem(403, CLOSED)
        return self.get_response(request)
