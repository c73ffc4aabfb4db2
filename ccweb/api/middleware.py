"""Middlewares of the API: loopback only with DEBUG, checks of headers and size, the Content-Security-Policy."""

from collections.abc import Callable

from csp.middleware import CSPMiddleware
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.common import CommonMiddleware

from ccweb.api.parsers import MAX_LIST_BYTES, TOO_LARGE
from ccweb.api.problems import plain_problem
from ccweb.api.routes import paths_of
from ccweb.request.client_address import is_loopback, sign_of_a_proxy

GetResponse = Callable[[HttpRequest], HttpResponse]
PROBES = ("healthz", "readyz", "metrics")  # /metrics checks the client address itself
CLOSED = "DEBUG is on, so only clients on this machine are answered. Turn DEBUG off to serve others, with API keys."
WRONG_HOST = "The Host header is missing or not one that is served here."
PLAIN_HTTP = "The API is served over HTTPS only; nothing was done. A key that was sent with this request was readable."
CSP_HEADER = "Content-Security-Policy"
CSP_OF_JSON = "default-src 'none'; frame-ancestors 'none'"
MAX_URL_BYTES = 4096


class BodyGuard:
    """Refuses bodies that no path takes, before anything else; under /api after the rate limits have counted them."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refusal = None if is_api(request) else body_refusal(request)
        return refusal or self.get_response(request)


class RequestGuard:
    """Refuses malformed requests to /api, and bodies that it does not take, before the body is parsed."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refusal = is_api(request) and (body_refusal(request) or api_refusal(request))
        return refusal or self.get_response(request)


def is_api(request: HttpRequest) -> bool:
    """Whether the path is /api or below it."""
    return f"{request.path}/".startswith("/api/")


def api_refusal(request: HttpRequest) -> HttpResponse | None:
    """A problem for a wrong Host (400), plain HTTP (403), an encoded body (415), a long URL (414); or None."""
    if has_wrong_host(request):
        return plain_problem(400, WRONG_HOST)
    if settings.SECURE_SSL_REDIRECT and not request.is_secure():
        return plain_problem(403, PLAIN_HTTP)
    if "HTTP_CONTENT_ENCODING" in request.META:
        return plain_problem(415, "Encoded bodies are not read: send plain JSON.")
    if len(request.get_full_path()) > MAX_URL_BYTES:
        return plain_problem(414, f"The URL is longer than {MAX_URL_BYTES} bytes.")
    return None


def has_wrong_host(request: HttpRequest) -> bool:
    """Whether the Host header is missing or not in ALLOWED_HOSTS."""
    try:
        request.get_host()
    except DisallowedHost:
        return True
    return False


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


class HostGuard(CommonMiddleware):
    """Django's, which refuses a wrong Host, except on PROBES: they reach a process by its address."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path in paths_of(*PROBES) else super().process_request(request)


class LoopbackOnly:
    """While the API is open (DEBUG), refuses what does not come straight from this machine, except on PROBES.

    So a server that runs with DEBUG by mistake neither opens the API nor shows its error pages to other machines, as
    far as it can see: docs/security.md says what it cannot.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.API_IS_OPEN and request.path not in paths_of(*PROBES):
            return remote_refusal(request) or self.get_response(request)
        return self.get_response(request)


def remote_refusal(request: HttpRequest) -> HttpResponse | None:
    """A problem for another machine's address or a proxy (403), or for a Host that is not loopback (400); or None."""
    if not is_loopback(request.META["REMOTE_ADDR"]):
        return plain_problem(403, CLOSED)
    names = (name[5:].replace("_", "-").lower() for name in request.META if name.startswith("HTTP_"))
    if sign := sign_of_a_proxy(names, request.META.get("SERVER_PROTOCOL", "")):
        return plain_problem(403, f"{CLOSED} This request came through a proxy: {sign}.")
    return plain_problem(400, WRONG_HOST) if has_wrong_host(request) else None
