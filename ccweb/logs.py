"""Log lines: JSON for machines in production, plain text with DEBUG on. Neither ever shows an API key or a password."""

import json
import logging
import os
import re
import select
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from typing import Any

import orjson

from ccweb.request.request_id import REQUEST_LOG, request_id

SECRETS = (
    (re.compile(r"(?i)(api-key\s+)[^\s'\",]+"), r"\1[hidden]"),
    (re.compile(r"\b[A-Za-z0-9]{8}\.[A-Za-z0-9]{32,}\b"), "[hidden]"),  # a key without its introduction
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1[hidden]@"),  # a password in a URL
)


def hide_secrets(text: str) -> str:
    """The text without API keys and passwords in URLs."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


class LineFormatter(logging.Formatter):
    """For people: time (local), level, logger, message; a traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return hide_secrets(super().format(record))


def _encode(members: dict[str, Any]) -> str:
    try:
        return orjson.dumps(members, default=str).decode()
    except TypeError:  # half of a surrogate pair, or a number beyond 64 bits
        return json.dumps(members, default=str)


class JSONFormatter(logging.Formatter):
    """For machines: an object a line with time (UTC), level, logger, message, request_id, traceback.

    `extra={"fields": {...}}` of a log call adds members.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = record.getMessage()
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            # What a request's line is made of, method, route and status, holds no secret.
            "message": message if record.name == REQUEST_LOG else hide_secrets(message),
            "process": record.process,
        }
        if current := request_id.get():
            members["request_id"] = current
        if record.exc_info:
            members["traceback"] = hide_secrets(self.formatException(record.exc_info))
        return _encode(members | getattr(record, "fields", {}))


class OnlyTracebacks(logging.Filter):
    """Drops Django's line about each 4xx and 5xx: ccweb.requests has one already, and only a traceback says more."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether there is a traceback."""
        return bool(record.exc_info)


class Console(logging.StreamHandler):
    """Writes lines at once, or, where `gather` was called, what is no warning a moment later and many by one call.

    A call a line costs a busy web process a fifth of its time, because it gives up the interpreter's lock each time.
    """

    EVERY = 0.1  # seconds, which is what a kill -9 may cost of the lines that are no warnings

    def __init__(self) -> None:
        super().__init__()
        self._gathered: list[str] = []
        self._gathers = False

    def gather(self) -> None:
        """Start to gather lines; ends with the process, which then writes what is left."""
        self._gathers = True
        threading.Thread(target=self._run, name="log", daemon=True).start()
        Finalize(None, self.flush, exitpriority=0)  # atexit never runs in the workers of granian
        os.register_at_fork(after_in_child=self._gather_no_more)

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held; a record that cannot be written is reported, not raised."""
        try:
            self._gathered.append(self.format(record))
            if not self._gathers or record.levelno >= logging.WARNING:
                self.flush()
        except Exception:  # noqa: BLE001
            self.handleError(record)

    def flush(self) -> None:
        """Write what was gathered."""
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            lines, self._gathered = self._gathered, []
            for piece in _pieces(lines):
                self.stream.write(piece)
                super().flush()

    def _gather_no_more(self) -> None:
        """A fork copies neither the thread nor the right to write what its parent gathered."""
        self._gathered, self._gathers = [], False

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self.EVERY):
            with suppress(OSError):  # nobody reads our lines any more, so there is nobody to tell
                self.flush()


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Whole lines, together short enough for a pipe to take them at once: another process's come before or after."""
    piece, size = "", 0
    for line in lines:
        length = len(line.encode(errors="backslashreplace")) + 1
        if piece and size + length > select.PIPE_BUF:
            yield piece
            piece, size = "", 0
        piece, size = f"{piece}{line}\n", size + length
    if piece:
        yield piece


def gather_lines() -> None:
    """Have this process's consoles gather their lines."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Console):
            handler.gather()
