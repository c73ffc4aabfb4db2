"""Who may use an open API."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ccweb.api.errors import plain_problem
from ccweb.request.client_address import is_loopback

Answer = Callable[[HttpRequest], HttpResponse]
PROBES = ("/healthz", "/readyz", "/metrics")  # the last one has a rule of its own
CLOSED = "DEBUG is on, so only clients on this machine are answered. Turn DEBUG off to serve others, with API keys."


class LoopbackOnly:
    """While the API is open (DEBUG), refuses every client that is not on this machine, probes excepted.

    A forgotten DEBUG is not an open API, and shows its error pages to nobody.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """403 for the others, or the answer."""
        if settings.API_IS_OPEN and not is_loopback(request.META["REMOTE_ADDR"]) and request.path not in PROBES:
            return plain_problem(403, CLOSED)
        return self.get_response(request)
