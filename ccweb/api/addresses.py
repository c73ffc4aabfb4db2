"""IP addresses as headers and WSGI servers write them."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
LONGEST = 64  # characters, with brackets, port and blanks


def parse(text: str) -> Address | None:
    """An address, without the port some proxies add and out of its IPv6 wrapping; None when it is none."""
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
