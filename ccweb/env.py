"""Typed readers of environment variables: a malformed value stops the start with a one-line error."""

import json
import os
import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import available_timezones

import environ
from django.core.exceptions import ImproperlyConfigured

HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]")
ADDRESS = re.compile(r"([^\s,:\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
KAFKA_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
KAFKA_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")
OPTION = r"\s*([a-z0-9._-]+)=((?:\\[\\,]|[^\\,])*)"
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def _refuse(name: str, expected: str) -> NoReturn:
    # The value is not repeated: it may hold a password.
    raise ImproperlyConfigured(f"environment variable {name} is malformed: expected {expected}")


def load_local_files(root: Path) -> dict[str, Any]:
    """Read `.env` into the environment, which has precedence; returns var/run.json, written by `make run`."""
    if os.environ.get("CCWEB_IGNORE_LOCAL"):
        return {}
    if (root / ".env").exists():
        environ.Env.read_env(root / ".env")
    try:
        return dict(json.loads((root / "var/run.json").read_text()))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ImproperlyConfigured(f"var/run.json is malformed ({error}): delete it and start again") from None


def text(name: str, default: str = "") -> str:
    """A string; empty counts as not set."""
    return os.environ.get(name) or default


def flag(name: str, default: bool) -> bool:
    """A boolean: 1/0, true/false, yes/no, on/off."""
    value = text(name).lower()
    if value and value not in TRUE | FALSE:
        _refuse(name, "1 or 0")
    return value in TRUE if value else default


def whole(name: str, default: int, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number between least and most, both included."""
    value = text(name, str(default))
    if not re.fullmatch(r"-?[0-9]{1,10}", value) or not least <= int(value) <= most:
        _refuse(name, f"a whole number from {least} to {most}")
    return int(value)


def one_of(name: str, default: str, choices: Collection[str]) -> str:
    """One of the choices, which are in upper case; the value may be in any case. The default need not be a choice."""
    value = text(name, default).upper()
    return value if value in (default, *choices) else _refuse(name, f"one of {', '.join(choices)}")


def hosts(name: str, default: str) -> list[str]:
    """Host names for ALLOWED_HOSTS: no scheme, no port, no path."""
    values = names(name, default)
    if not all(HOST.fullmatch(value) for value in values):
        _refuse(name, "host names such as api.example.com, without scheme and port, separated by commas")
    return values


def names(name: str, default: str = "") -> list[str]:
    """A comma-separated list; spaces around names are removed."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def per_minute(name: str, default: int) -> int:
    """A rate written as `600/min`; returns requests per minute."""
    value = text(name, f"{default}/min")
    match = re.fullmatch(r"([1-9][0-9]{0,8})/min", value)
    return int(match[1]) if match else _refuse(name, "a rate such as 600/min")


def url(name: str, default: str, *schemes: str) -> str:
    """A URL with one of the schemes."""
    value = text(name, default)
    if value.partition("://")[0] not in schemes:
        _refuse(name, f"a URL that starts with {' or '.join(s + '://' for s in schemes)}")
    return value


def addresses(name: str, default: str) -> str:
    """host:port[,host:port], the format of Kafka clients; an IPv6 address stands in brackets."""
    value = text(name, default)
    if not all(ADDRESS.fullmatch(part) for part in value.split(",")):
        _refuse(name, "host:port or [IPv6]:port, or several separated by commas")
    return value


def topic_prefix(name: str) -> str:
    """The beginning of the names of Kafka topics, may be empty."""
    value = text(name)
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,100}", value):
        _refuse(name, "at most 100 letters, digits, dots, underscores and hyphens")
    return value


def file(name: str) -> str:
    """The path of a file that this process can read, or empty."""
    value = text(name)
    if value and not (Path(value).is_file() and os.access(value, os.R_OK)):
        _refuse(name, "the path of a file that this process can read")
    return value


def options(name: str) -> dict[str, str]:
    r"""`name=value,name=value` as a dict. A comma or a backslash inside a value is written as `\,` or `\\`."""
    value = text(name)
    if value and not re.fullmatch(rf"{OPTION}(,{OPTION})*", value):
        _refuse(name, r"name=value, or several separated by commas (a comma inside a value is written as \,)")
    return {option: re.sub(r"\\(.)", r"\1", written) for option, written in re.findall(OPTION, value)}


def database(name: str, default: Path) -> dict[str, Any]:
    """DATABASE_URL as Django's settings; PostgreSQL and SQLite only. `default` is the file of an SQLite database."""
    if not text(name):  # not by way of a URL: the path may hold characters that mean something in one
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(default)}
    try:
        return dict(environ.Env.db_url_config(url(name, "", "postgres", "postgresql", "sqlite")))
    except (ValueError, ImproperlyConfigured):
        _refuse(name, "a database URL such as postgres://user:password@host:5432/name")


def time_zone(name: str, default: str) -> str:
    """The name of a time zone in the IANA database."""
    value = text(name, default)
    return value if value in available_timezones() else _refuse(name, "an IANA time zone such as Europe/Berlin")


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """A comma-separated list of IP addresses and networks such as 10.0.0.0/8; empty when not set."""
    try:
        return [ip_network(part) for part in names(name)]
    except ValueError:
        _refuse(name, "IP addresses or networks such as 10.0.0.0/8, separated by commas")
