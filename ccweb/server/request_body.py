"""Reads request bodies before a request gets a slot, and ends those that do not arrive in time (Linux).

The server has no timeout for a body, and a thread that reads one cannot be interrupted. The only way is to shut down
the socket, which has to be found among those of this process.
"""

import io
import os
import socket
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from ccweb.api.parsers import MAX_LIST_BYTES
from ccweb.request.deadline import RequestDeadline, active

# A body that is too large is still read up to this size: most clients read the 413 only after sending everything.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024
BODY_TIMEOUT_SECONDS = 5.0  # for a body that sends nothing, and in total for one that arrives slowly
ESTABLISHED = 1  # TCP_ESTABLISHED


def receive(environ: dict[str, Any], request: RequestDeadline) -> bool:
    """Read the body into memory; one that is too large is discarded. False when it did not arrive in time."""
    text = environ.get("CONTENT_LENGTH") or "0"
    length = int(text) if text.isascii() and text.isdigit() else 0
    if not 0 < length <= MAX_DISCARDED_BYTES:
        return True
    request.reading_since = begun = time.monotonic()
    read = environ["wsgi.input"].read
    body, left = b"", length
    while left and (chunk := read(min(left, MAX_LIST_BYTES))):
        left -= len(chunk)
        body = body + chunk if length <= MAX_LIST_BYTES else b""
    request.reading_since = None
    environ["wsgi.input"] = io.BytesIO(body)
    return not left or time.monotonic() - begun < BODY_TIMEOUT_SECONDS


class Connection(NamedTuple):
    """The kernel's TCP_INFO of a client's connection; times in seconds."""

    state: int
    silent_for: float  # since the server sent data
    quiet_for: float  # since the client sent data
    acknowledged: int  # bytes of the server that the client acknowledged
    received: int  # bytes of the client

    @property
    def has_request(self) -> bool:
        """Whether the client has started a request that is not answered yet."""
        return (
            self.state == ESTABLISHED
            and self.received > 0
            and (self.quiet_for < self.silent_for or not self.acknowledged)
        )


class LateBodies:
    """Finds and shuts connections whose request bodies do not arrive in time."""

    def __init__(self) -> None:
        self._dripping: dict[tuple[Any, ...], tuple[float, int]] = {}

    def cut(self) -> int:
        """Shut the late connections for reading when a thread waits for a body; returns how many."""
        now = time.monotonic()
        if not any(f.reading_since is not None and now - f.reading_since > BODY_TIMEOUT_SECONDS for f in active()):
            self._dripping.clear()
            return 0
        return sum(self._cut_if_late(client, now) for client in clients())

    def _cut_if_late(self, client: socket.socket, now: float) -> bool:
        info = ask_kernel(client)
        if not info.has_request:
            return False
        peer = client.getpeername()
        since, acknowledged = self._dripping.setdefault(peer, (now, info.acknowledged))
        if acknowledged != info.acknowledged:  # a request was answered meanwhile
            self._dripping[peer] = now, info.acknowledged
        late = info.quiet_for > BODY_TIMEOUT_SECONDS or now - self._dripping[peer][0] > BODY_TIMEOUT_SECONDS
        if late:
            client.shutdown(socket.SHUT_RD)
        return late


def clients() -> Iterator[socket.socket]:
    """The connections of clients, as duplicated sockets that are closed after use."""
    sockets = [copy for fd in os.listdir("/proc/self/fd") if (copy := _socket(int(fd)))]
    try:
        ports = {s.getsockname()[1] for s in sockets if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)}
        for client in sockets:
            with suppress(OSError):  # closed meanwhile
                if client.getsockname()[1] in ports and client.getpeername():
                    yield client
    finally:
        for copy in sockets:
            copy.close()


def ask_kernel(client: socket.socket) -> Connection:
    """Read TCP_INFO; its layout is part of Linux's stable interface."""
    info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    sent, received = struct.unpack_from("I", info, 44)[0], struct.unpack_from("I", info, 52)[0]
    acknowledged, bytes_received = struct.unpack_from("QQ", info, 120)
    return Connection(info[0], sent / 1000, received / 1000, acknowledged, bytes_received)


def _socket(fd: int) -> socket.socket | None:
    with suppress(OSError):  # closed meanwhile
        if stat.S_ISSOCK(os.stat(fd).st_mode):
            copy = socket.socket(fileno=os.dup(fd))
            if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
                return copy
            copy.close()
    return None
