"""Rate limits of the API: THROTTLE_KEY for each key and THROTTLE_ADDRESS for each client address; both apply.

A middleware, not a DRF throttle: requests that are refused later (401, 404, 405) count too, which slows down guessing
keys.
"""

from collections.abc import Callable, MutableMapping
from ipaddress import IPv6Address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter

from ccweb.api.authentication import presented_key
from ccweb.api.problems import Problem
from ccweb.api.rate_counters import Limit, LimitStatus, consume
from ccweb.request.client_address import parse

REFUSED = Counter("ccweb_limited_requests", "Requests beyond a limit.", ["limit"])
IPV6_PREFIX = 64  # one customer's network: 2^64 addresses must not mean 2^64 limits


class Limits:
    """Counts every request under /api/, answers 429 beyond a limit, and adds the RateLimit headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        status = consume(limits_of(request.META))
        response = self.get_response(request) if status.passed else too_many(status).response()
        for name, value in rate_limit_headers(status).items():
            response[name] = value
        return response


def limits_of(meta: MutableMapping[str, Any]) -> tuple[Limit, ...]:
    """The limits that a request counts in, by its WSGI environment as ClientAddress leaves it.

    A key is counted by the digest of what was sent, before it is looked up: only a client that has the whole key can
    use up its limit.
    """
    by_address = Limit("address", network_of(meta["REMOTE_ADDR"]), settings.THROTTLE_ADDRESS)
    key = presented_key(meta)
    return (by_address,) if key is None else (by_address, Limit("key", key.digest, settings.THROTTLE_KEY))


def network_of(client: str) -> str:
    """The network that a client address is counted as: the /64 of an IPv6 address, else the address itself."""
    address = parse(client)
    return str(ip_network((address, IPV6_PREFIX), strict=False)) if isinstance(address, IPv6Address) else client


def too_many(status: LimitStatus) -> Problem:
    """The 429 problem; the request was neither processed nor counted."""
    limit = binding(status)
    REFUSED.labels(limit.name).inc()
    wait = status.reset(limit)
    detail = f"More than {limit.most} requests a minute for this {limit.name}; try again in {wait} s."
    return Problem(429, detail, {"Retry-After": str(wait)})


def binding(status: LimitStatus) -> Limit:
    """The limit with the fewest requests left."""
    return min(zip(status.left(), status.limits, strict=True))[1]


def rate_limit_headers(status: LimitStatus) -> dict[str, str]:
    """The headers of draft-ietf-httpapi-ratelimit-headers-10, and of its older form, which most clients read.

    RateLimit-Local says that Redis did not answer and this process counted alone.
    """
    limits, left, tight = status.limits, status.left(), binding(status)
    resets = [status.reset(limit) for limit in limits]
    headers = {
        "RateLimit-Policy": ", ".join([f'"{limit.name}";q={limit.most};w={limit.seconds}' for limit in limits]),
        "RateLimit": ", ".join([f'"{li.name}";r={n};t={t}' for li, n, t in zip(limits, left, resets, strict=True)]),
        "RateLimit-Limit": str(tight.most),
        "RateLimit-Remaining": str(min(left)),
        "RateLimit-Reset": str(status.reset(tight)),
    }
    if status.local:
        headers["RateLimit-Local"] = "?1"
    return headers
