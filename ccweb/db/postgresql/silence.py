"""Is PostgreSQL frozen or cut off? Nothing of its own ends a query then: the kernel goes on to acknowledge."""

import os
import socket
import struct
import time

from django.db import connections

PROBE_TIMEOUT_SECONDS = 1.0  # seconds: a server that does not answer a greeting for so long is taken for frozen
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # answered with a letter by any server, before a login, at any load
_silent = False


def known() -> bool:
    """Whether the server did not answer when it was asked last."""
    return _silent


def note(silent: bool) -> None:
    """What was found out."""
    global _silent
    _silent = silent


def answers(seconds: float) -> bool:
    """Whether one of the database's hosts says anything within that time; a refused connection counts as an answer."""
    deadline = time.monotonic() + seconds
    hosts = addresses()
    return not hosts or any(_answers(address, deadline - time.monotonic()) for address in hosts)


def addresses() -> list[tuple[str, int] | str]:
    """Host and port, or the path of a Unix socket, of each host that the settings name; none when libpq chooses."""
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
    except OSError:  # refused: it is away, and connecting will say so at once
        return True
    return True


def _connect(address: tuple[str, int] | str, seconds: float) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, seconds)
    server = socket.socket(socket.AF_UNIX)
    server.settimeout(seconds)
    server.connect(address)
    return server
