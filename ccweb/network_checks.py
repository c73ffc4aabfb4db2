"""System checks of `manage.py check --deploy`: who is let in, and what crosses a network without TLS."""

import os
from collections.abc import Iterable
from ipaddress import IPv6Network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

from ccweb.checks import Apps
from ccweb.request.client_address import Network, is_loopback

WIDEST_PREFIX = {4: 8, 6: 16}  # 10.0.0.0/8 is one company's; what is wider, or no private network of IPv6, is too wide
PRIVATE_IPV6 = IPv6Network("fc00::/7")
ENCRYPTED = ("require", "verify-ca", "verify-full")


@register(Tags.security, deploy=True)
def check_hosts(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """W010: with `*` the Host header of a client stands in links and redirects."""
    hint = "Name the hosts under which clients and staff reach this service."
    return [Warning("ALLOWED_HOSTS is *.", hint=hint, id="ccweb.W010")] if "*" in settings.ALLOWED_HOSTS else []


@register(Tags.security, deploy=True)
def check_networks(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """W011, W012: networks that hold everybody."""
    trusted = "Any client can then choose the address by which it is limited and logged. Name the proxies."
    metrics = "Anybody can then read /metrics. Name the servers that collect them."
    return [
        *_too_wide("TRUSTED_PROXIES", settings.TRUSTED_PROXIES, trusted, "ccweb.W011"),
        *_too_wide("METRICS_ALLOWED", settings.METRICS_ALLOWED, metrics, "ccweb.W012"),
    ]


@register(Tags.security, deploy=True)
def check_encryption(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """W013, W014: Redis or PostgreSQL on another machine without TLS."""
    messages: list[CheckMessage] = []
    redis = urlsplit(settings.REDIS_URL)
    if redis.scheme == "redis" and _remote([redis.hostname or ""]):
        hint = "Use rediss://; ignore this warning on a network that is yours alone."
        messages.append(Warning("REDIS_URL crosses a network without TLS.", hint=hint, id="ccweb.W013"))
    if any(_is_plain_postgresql(database) for database in settings.DATABASES.values()):
        hint = "Add ?sslmode=verify-full (or require); ignore this warning on a network that is yours alone."
        messages.append(
            Warning(
                "The connection to PostgreSQL (DATABASE_URL) crosses a network without TLS.", hint=hint, id="ccweb.W014"
            )
        )
    return messages


def _too_wide(name: str, networks: Iterable[Network], hint: str, number: str) -> list[CheckMessage]:
    wide = [
        network
        for network in networks
        if network.prefixlen < WIDEST_PREFIX[network.version]
        and not (isinstance(network, IPv6Network) and network.subnet_of(PRIVATE_IPV6))
    ]
    return [Warning(f"{name} holds {network}.", hint=hint, id=number) for network in wide]


def _is_plain_postgresql(database: dict[str, Any]) -> bool:
    if "postgresql" not in database["ENGINE"]:
        return False
    mode = database.get("OPTIONS", {}).get("sslmode") or os.environ.get("PGSSLMODE")
    return mode not in ENCRYPTED and _remote(str(database.get("HOST", "")).split(","))


def _remote(hosts: Iterable[str]) -> bool:
    """Whether one of the hosts is not this machine: neither loopback nor, as a path or empty, a Unix socket."""
    return any(host and host != "localhost" and not host.startswith("/") and not is_loopback(host) for host in hosts)
