"""Detects a PostgreSQL that is suspended or unreachable. Its kernel still acknowledges, so no query would fail."""

import os
import socket
import struct
import time

from django.db import connections

PROBE_TIMEOUT_SECONDS = 1.0  # a server that does not answer a probe for so long is considered suspended
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # answered with one byte by every server, before a login, at any load
_silent = False


def is_silent() -> bool:
    """Whether the server did not answer the last probe."""
    return _silent


def set_silent(silent: bool) -> None:
    """Set what `is_silent` returns."""
    global _silent
    _silent = silent


def answers(seconds: float) -> bool:
    """Whether one of the database's hosts answers within `seconds`; a refused connection counts as an answer."""
    deadline = time.monotonic() + seconds
    hosts = addresses()
    return not hosts or any(_answers(address, deadline - time.monotonic()) for address in hosts)


def addresses() -> list[tuple[str, int] | str]:
    """Host and port, or the path of a Unix socket, of each host in the settings; none when libpq chooses."""
    database = connections.settings["default"]
    hosts = str(database.get("HOST") or os.environ.get("PGHOST", "")).split(",")
    ports = str(database.get("PORT") or os.environ.get("PGPORT") or 5432).split(",")
    ports *= len(hosts) // len(ports)
    pairs = zip(hosts, map(int, ports), strict=True)
    return [f"{host}/.s.PGSQL.{port}" if host[0] == "/" else (host, port) for host, port in pairs if host]


def _answers(address: tuple[str, int] | str, seconds: float) -> bool:
    try:
        with _connect(address, max(seconds, 0.01)) as server:
            server.sendall(SSL_REQUEST)
            server.recv(1)
    except TimeoutError:
        return False
    except OSError:  # refused: connecting will fail immediately
        return True
    return True


def _connect(address: tuple[str, int] | str, seconds: float) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, seconds)
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(seconds)
    server.connect(address)
    return server
