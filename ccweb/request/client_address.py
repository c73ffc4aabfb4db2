"""The client address of a request; forwarded headers are trusted from loopback and TRUSTED_PROXIES only."""

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


def resolve_client(meta: MutableMapping[str, Any]) -> None:
    """Set REMOTE_ADDR and remove forwarded headers in a WSGI environment, as ClientAddress describes."""
    peer = meta.get("REMOTE_ADDR", "")
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
