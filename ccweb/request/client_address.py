"""The client address of a request; forwarded headers are trusted from loopback and TRUSTED_PROXIES only.

The peer of a Unix socket has no address: REMOTE_ADDR is empty. The permissions of the socket's file say who may be one,
so it counts as loopback, except with DEBUG, where nobody has thought about them.
"""

import re
from collections.abc import Callable, Iterable, MutableMapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
LONGEST = 64  # characters, with brackets, port and blanks
UNKNOWN = "unknown"  # the proxy sent something that is not an address: never loopback, never allowed
LOOPBACK = "127.0.0.1"
# The headers of proxies, load balancers, content delivery networks and tunnels, in lower case.
OF_PROXIES = re.compile(
    r"forwarded|via|(true-)?client-ip|cdn-loop|x-forwarded|x-varnish|x-request-start|(proxy|cf|fastly|fly|akamai)-.*|"
    r"x-(forwarded|original|real|client|cluster|remote|proxyuser|amzn?|appengine|arr|azure|cloud|envoy|goog|vercel)-.*"
)


def parse(text: str) -> Address | None:
    """An address without the port that some proxies add, IPv4-mapped IPv6 as IPv4; None when it is not an address."""
    return _parse(text) if len(text) <= LONGEST else None


@lru_cache(maxsize=10_000)
def _parse(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(text: str) -> bool:
    """Whether an address is 127.0.0.0/8 or ::1."""
    address = parse(text)
    return address is not None and address.is_loopback


def is_within(text: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    address = parse(text)
    return address is not None and any(address in network for network in networks)


class ClientAddress:
    """Makes REMOTE_ADDR the client's address, and removes X-Forwarded-For and -Proto of a peer that is not trusted."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Later middlewares and views can rely on REMOTE_ADDR and request.scheme."""
        resolve_client(request.META)
        return self.get_response(request)


def sign_of_a_proxy(header_names: Iterable[str], protocol: str) -> str:
    """What shows that a request did not come straight from its client, as part of a sentence; empty when nothing does.

    Header names are in lower case. HTTP/1.0 is what nginx speaks, and adds no header, unless it is told otherwise.
    """
    if found := next(filter(OF_PROXIES.fullmatch, header_names), ""):
        return f"it has the header {found.title()}"
    return "it is in HTTP/1.0" if protocol == "HTTP/1.0" else ""


def resolve_client(meta: MutableMapping[str, Any]) -> None:
    """Set REMOTE_ADDR and remove forwarded headers in a WSGI environment, as ClientAddress describes."""
    peer = meta.get("REMOTE_ADDR", "") or ("" if settings.API_IS_OPEN else LOOPBACK)
    forwarded_for = meta.pop("HTTP_X_FORWARDED_FOR", "")
    if not _is_trusted(peer):
        meta.pop("HTTP_X_FORWARDED_PROTO", None)
        forwarded_for = ""
    meta["REMOTE_ADDR"] = client_address(peer, forwarded_for)


def client_address(peer: str, forwarded_for: str) -> str:
    """The client: from the peer backwards, the first hop that is not a trusted proxy.

    When all hops are trusted it is the farthest one. UNKNOWN when that hop is not an address.
    """
    hops = [hop for hop in forwarded_for.split(",") if hop.strip()]
    while hops and _is_trusted(peer):
        peer = hops.pop()
    return str(parse(peer) or UNKNOWN)


def _is_trusted(text: str) -> bool:
    return is_loopback(text) or is_within(text, settings.TRUSTED_PROXIES)
