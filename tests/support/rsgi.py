"""Requests to ccweb.server.event_loop in this process, as granian passes them on (RSGI)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ccweb.server.event_loop import EventLoop
from tests.support.deployment import Answer


class Headers:
    """Header names in lower case, with all their values; a value that is not ASCII cannot be read, as in granian."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._pairs if value.isascii()]

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class Request:
    """One request; `chunks` are what arrives of its body."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    query_string: str = ""
    client: str = "127.0.0.1:50000"
    more_headers: Sequence[tuple[str, str]] = ()
    server: str = "127.0.0.1:8000"
    http_version: str = "1.1"
    scheme: str = "http"

    @property
    def raw(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()

    def scope(self) -> Any:
        """As granian's: the request with its headers."""
        sent = {"Host": "127.0.0.1:8000", "Accept": "*/*"}
        if self.raw:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(self.raw))}
        scope = Request(**{name: getattr(self, name) for name in self.__dataclass_fields__})
        scope.headers = Headers([*(sent | self.headers).items(), *self.more_headers])  # type: ignore[assignment]
        return scope


class Protocol:
    """The body of one request, and its answer."""

    def __init__(self, body: bytes, chunk: int = 0) -> None:
        self._chunks = [body[i : i + chunk] for i in range(0, len(body), chunk)] if chunk else [body] if body else []
        self.answer: Answer | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    async def __call__(self) -> bytes:
        return b"".join(self._chunks)

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert self.answer is None, "answered twice"
        assert all(isinstance(part, str) for pair in headers for part in pair)
        self.answer = Answer(status, dict(sorted(headers)), body)

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None:
        self.response_bytes(status, headers, Path(file).read_bytes())


async def ask(event_loop: EventLoop, request: Request) -> Answer:
    """The answer to one request."""
    protocol = Protocol(request.raw)
    await event_loop.__rsgi__(request.scope(), protocol)
    assert protocol.answer is not None
    return protocol.answer


class Client:
    """Sends requests to an EventLoop."""

    def __init__(self, event_loop: EventLoop) -> None:
        self.event_loop, self._runner = event_loop, asyncio.Runner()

    def send(self, *requests: Request) -> list[Answer]:
        """The answers to requests that are sent at once."""

        async def all_of_them() -> list[Answer]:
            return await asyncio.gather(*(ask(self.event_loop, request) for request in requests))

        return self._runner.run(all_of_them())

    def close(self) -> None:
        self.event_loop.__rsgi_del__(self._runner.get_loop())
        self._runner.close()
