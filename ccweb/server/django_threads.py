"""Django's WSGI handler for the event loop: in a few threads, each with its own database connection.

More threads would compete for the interpreter's lock and all be slower. A request that finds no free thread in time is
answered with 503 and nothing is done for it.
"""

import asyncio
import io
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from django.core.handlers.wsgi import WSGIHandler
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http.response import HttpResponseBase

from ccweb.api.routes import paths_of
from ccweb.request import deadline
from ccweb.request.client_address import UNKNOWN
from ccweb.server.batching import TooLate

THREADS = 2
WATCHED_BY_MACHINES = ("readyz", "metrics")  # they have a thread of their own, so that a busy worker still answers
# An export takes seconds, and is written to a file whole before its first byte is sent. One at a time, in a thread of
# its own: two would otherwise occupy both threads, and every other request of the worker would be 503 meanwhile.
STREAMS = 1
MOST_STREAMS_WAITING = 20
# How long a request may wait for a thread: of sixteen concurrent lists of 1,000 events the last one waits for more than
# a second.
QUEUE_TIMEOUT_SECONDS = 2.5
FEW_CHUNKS = 16  # of a stream: lines, or 4 KiB of a file; what has fewer stays in memory
T = TypeVar("T")
Environ = dict[str, Any]


class HttpAnswer(NamedTuple):
    """What is sent: content, or the path of a file with it; a temporary one is to be removed."""

    status: int
    headers: list[tuple[str, str]]
    content: bytes = b""
    file: str = ""
    is_temporary: bool = False


class DjangoThreads:
    """The threads of one web worker."""

    def __init__(self, handler: WSGIHandler) -> None:
        self._handler = handler
        self._databases: list[BaseDatabaseWrapper] = []  # one a thread, for `close`
        self._working, self._watched, self._for_steps, self._for_streams = self._pools = [
            ThreadPoolExecutor(count, name, initializer=self._start)
            for name, count in (("django", THREADS), ("watched", 1), ("steps", 1), ("streams", STREAMS))
        ]
        self._streams = 0  # that are written or wait for the thread

    async def answer(self, environ: Environ, until: float) -> HttpAnswer:
        """Django's answer, with a deadline of time.monotonic(); raises TooLate without a free thread."""
        pool = self._watched if environ["PATH_INFO"] in paths_of(*WATCHED_BY_MACHINES) else self._working
        future = pool.submit(self._answer, environ, until)
        timer = asyncio.get_running_loop().call_later(QUEUE_TIMEOUT_SECONDS, future.cancel)  # if it has not begun
        try:
            answer = await asyncio.wrap_future(future)
            return await self._streamed(answer) if isinstance(answer, Stream) else answer
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]  # the worker stops
                raise
            raise TooLate from None
        finally:
            timer.cancel()

    async def run(self, function: Callable[[], T]) -> T:
        """The result of a function that waits by itself, with the deadline and request id of the caller."""
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._for_steps, lambda: context.run(_run, function))

    def close(self) -> None:
        """Wait for what is being answered, and close the threads' connections."""
        for pool in self._pools:
            pool.shutdown(wait=True)
        for database in self._databases:
            database.close()

    def _start(self) -> None:
        database = connections[DEFAULT_DB_ALIAS]
        database.inc_thread_sharing()
        self._databases.append(database)

    def _answer(self, environ: Environ, until: float) -> "HttpAnswer | Stream":
        headers: list[tuple[str, str]] = []
        with deadline.until(until):
            response = self._handler(environ, lambda _status, found, _error=None: headers.extend(found))  # type: ignore[arg-type]
            if response.streaming and not _is_without_content(environ, response):
                return _file_of(response, headers) or Stream(response, headers)
            with closing(response):
                content = b"" if response.streaming else response.content  # type: ignore[attr-defined]
                return HttpAnswer(response.status_code, headers, content)

    async def _streamed(self, stream: "Stream") -> HttpAnswer:
        if self._streams > MOST_STREAMS_WAITING:
            stream.response.close()
            raise TooLate
        self._streams += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._for_streams, stream.written)
        finally:
            self._streams -= 1


def _run(function: Callable[[], T]) -> T:
    try:
        return function()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close_if_unusable_or_obsolete()


def _is_without_content(environ: Environ, response: HttpResponseBase) -> bool:
    return environ["REQUEST_METHOD"] == "HEAD" or response.status_code == HTTPStatus.NOT_MODIFIED


def _file_of(response: HttpResponseBase, headers: list[tuple[str, str]]) -> HttpAnswer | None:
    """The answer that is a file as it lies on the disk: a static file."""
    name = getattr(getattr(response, "file_to_stream", None), "name", None)
    if response.status_code != HTTPStatus.OK or not isinstance(name, str):
        return None
    response.close()
    return HttpAnswer(HTTPStatus.OK, headers, file=name)


class Stream(NamedTuple):
    """A streaming answer of Django, of which nothing has been read."""

    response: HttpResponseBase
    headers: list[tuple[str, str]]

    def written(self) -> HttpAnswer:
        """What it yields, as a file if it is large: a client who reads slowly keeps no thread and no memory."""
        with closing(self.response), deadline.until(math.inf):  # an export may take longer than a request
            chunks: Iterator[bytes] = iter(self.response)
            first = list(islice(chunks, FEW_CHUNKS))
            if len(first) < FEW_CHUNKS:
                return HttpAnswer(self.response.status_code, self.headers, b"".join(first))
            name, size = _write(chain(first, chunks))
        headers = [(header, value) for header, value in self.headers if header != "Content-Length"]
        headers.append(("Content-Length", str(size)))
        return HttpAnswer(self.response.status_code, headers, file=name, is_temporary=True)


def _write(chunks: Iterable[bytes]) -> tuple[str, int]:
    """A temporary file with these chunks: its name, and its size in bytes."""
    # In the folder of this server's metrics, which the next server removes: a killed worker leaves its file behind.
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    with tempfile.NamedTemporaryFile(dir=folder, prefix="answer-", delete=False) as file:
        try:
            file.writelines(chunks)
        except BaseException:  # an export that failed leaves nothing behind
            os.unlink(file.name)
            raise
        return file.name, file.tell()


def environ_of(scope: Any, headers: Mapping[str, str], body: bytes) -> Environ:
    """The WSGI environment (PEP 3333) of a request."""
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": UNKNOWN,  # Django takes it for the Host that a request did not name
        "SERVER_PORT": scope.server.rpartition(":")[2] if scope.client else "",  # a Unix socket has none
        "SERVER_PROTOCOL": protocol_of(scope),
        "REMOTE_ADDR": peer_of(scope),
        "CONTENT_TYPE": headers.get("content-type", ""),
        "CONTENT_LENGTH": headers.get("content-length", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    # A name with an underscore would be taken for one with a hyphen, such as X_Forwarded_For. Without Range a static
    # file is sent whole, which costs nothing; a part of it would be copied.
    sent = {name: value for name, value in headers.items() if "_" not in name and name != "range"}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sent.items()}
    return environ


def protocol_of(scope: Any) -> str:
    """The protocol and its version: HTTP/1.0, for which granian says 1, or HTTP/1.1."""
    version: str = scope.http_version
    return f"HTTP/{version}" if "." in version else f"HTTP/{version}.0"


def peer_of(scope: Any) -> str:
    """The address of the connection, without its port; empty for a Unix socket."""
    peer: str = scope.client.rpartition(":")[0]
    return peer.strip("[]")
