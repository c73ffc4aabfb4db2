"""Where a request comes from: what proxies say is believed from loopback and TRUSTED_PROXIES only."""

from collections.abc import Callable, MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ccweb.api.addresses import is_loopback, is_within, parse
from ccweb.api.errors import plain_problem

Answer = Callable[[HttpRequest], HttpResponse]
UNKNOWN = "unknown"  # a client whose proxy wrote something that is not an address: never loopback, never allowed
PROBES = ("/healthz", "/readyz", "/metrics")  # the last one has a rule of its own
CLOSED = "DEBUG is on, so only clients on this machine are answered. Turn DEBUG off to serve others, with API keys."


class ClientAddress:
    """Makes REMOTE_ADDR the client's address, and removes X-Forwarded-For and -Proto of a peer that is not trusted."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer; everything behind may read REMOTE_ADDR and request.scheme as they are."""
        resolve_client(request.META)
        return self.get_response(request)


def resolve_client(meta: MutableMapping[str, Any]) -> None:
    """Rewrite the WSGI environment as ClientAddress says."""
    peer = meta.get("REMOTE_ADDR", "")
    forwarded_for = meta.pop("HTTP_X_FORWARDED_FOR", "")
    if not _is_trusted(peer):
        meta.pop("HTTP_X_FORWARDED_PROTO", None)
        forwarded_for = ""
    meta["REMOTE_ADDR"] = client_address(peer, forwarded_for)


def client_address(peer: str, forwarded_for: str) -> str:
    """The client: from the peer backwards, the first hop that is not a trusted proxy; UNKNOWN when that is no address.

    When all hops are trusted it is the farthest one.
    """
    hops = [hop for hop in forwarded_for.split(",") if hop.strip()]
    while hops and _is_trusted(peer):
        peer = hops.pop()
    return str(parse(peer) or UNKNOWN)


def _is_trusted(text: str) -> bool:
    return is_loopback(text) or is_within(text, settings.TRUSTED_PROXIES)


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
