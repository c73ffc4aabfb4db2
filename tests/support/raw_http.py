"""HTTP as bytes on a socket, for requests that no client library would send."""

import json
import socket
from dataclasses import dataclass
from typing import Any

TIMEOUT_SECONDS = 60


@dataclass
class Answer:
    """Status, headers (lower case) and body of one response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def exchange(address: tuple[str, int], request: bytes, *, half_close: bool = False) -> Answer:
    """Send the bytes and read one response; `half_close` shuts down the sending side first."""
    with socket.create_connection(address, TIMEOUT_SECONDS) as connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            headers = _headers(stream)
            return Answer(status, headers, _body(stream, headers))


def _headers(stream: Any) -> dict[str, str]:
    headers = {}
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _body(stream: Any, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return stream.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    return body


def request(
    body: bytes = b"",
    *,
    method: str = "POST",
    path: str = "/api/actions",
    content_type: str | None = "application/json",
    length: int | None = None,
    host: str | None = "localhost",
    extra: str = "",
) -> bytes:
    """The bytes of an HTTP/1.1 request; `extra` holds further header lines, each ended by CRLF."""
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"Content-Type: {content_type}"] if content_type is not None else []
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != -1 else []
    return ("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode("latin-1") + body
