"""Logging: JSON in production, plain text with DEBUG on, both without API keys and passwords."""

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

from ccweb.request.origin import NOWHERE, origin
from ccweb.request.request_id import REQUEST_LOG

SECRETS = (
    (re.compile(r"(?i)(api-key\s+)[^\s'\",]+"), r"\1[hidden]"),
    (re.compile(r"\b[A-Za-z0-9]{8}\.[A-Za-z0-9]{32,}\b"), "[hidden]"),  # a key without "Api-Key"
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1[hidden]@"),  # a password in a URL
)


def hide_secrets(text: str) -> str:
    """The text without API keys and passwords in URLs."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


class LineFormatter(logging.Formatter):
    """Plain text: time (local), level, logger, message, who sent the request it is about, and a traceback below."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        who = getattr(record, "origin", NOWHERE).who()
        return " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in who.items())])

    def format(self, record: logging.LogRecord) -> str:
        return hide_secrets(super().format(record))


def _encode(members: dict[str, Any]) -> str:
    try:
        return orjson.dumps(members, default=str).decode()
    except TypeError:  # a lone surrogate, or a number beyond 64 bits
        return json.dumps(members, default=str)


class JSONFormatter(logging.Formatter):
    """One JSON object a line with time (UTC), level, logger, message, request_id, trace_id, traceback.

    `extra={"fields": {...}}` of a log call adds members.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            # The line of a request holds only method, route and status, so no secret.
            "message": message if record.name == REQUEST_LOG else hide_secrets(message),
            "process": record.process,
        }
        current = getattr(record, "origin", None) or origin.get()
        if current.request_id:
            members["request_id"] = current.request_id
        if current.traceparent:
            members["trace_id"] = current.trace_id
        if record.exc_info:
            members["traceback"] = hide_secrets(self.formatException(record.exc_info))
        return _encode(members | getattr(record, "fields", {}))


class OnlyTracebacks(logging.Filter):
    """Drops Django's lines about 4xx and 5xx answers without a traceback: ccweb.requests logs them already."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.exc_info)


class Console(logging.StreamHandler):
    """Writes each line immediately; after `gather`, lines below WARNING are buffered and written together.

    One write for each line takes a fifth of a busy web process's time, because each releases the interpreter's lock.
    """

    FLUSH_INTERVAL_SECONDS = 0.1  # a kill -9 loses the lines below WARNING of this time

    def __init__(self) -> None:
        super().__init__()
        self._gathered: list[str] = []
        self._gathers = False

    def gather(self) -> None:
        """Start to buffer lines; the rest is written when the process ends."""
        self._gathers = True
        threading.Thread(target=self._run, name="log", daemon=True).start()
        Finalize(None, self.flush, exitpriority=0)  # atexit does not run in the workers of granian
        os.register_at_fork(after_in_child=self._stop_gathering)

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held; errors are passed to handleError, not raised."""
        try:
            self._gathered.append(self.format(record))
            if not self._gathers or record.levelno >= logging.WARNING:
                self.flush()
        except Exception:  # noqa: BLE001
            self.handleError(record)

    def flush(self) -> None:
        """Write the buffered lines."""
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            lines, self._gathered = self._gathered, []
            for piece in _pieces(lines):
                self.stream.write(piece)
                super().flush()

    def _stop_gathering(self) -> None:
        """In a forked child there is no flushing thread, and the parent writes the buffered lines."""
        self._gathered, self._gathers = [], False

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self.FLUSH_INTERVAL_SECONDS):
            with suppress(OSError):  # the reader of the pipe has ended, so the error cannot be reported either
                self.flush()


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join whole lines up to PIPE_BUF bytes, which a pipe writes atomically, not mixed with other processes' lines."""
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
    """Start buffering in the Console handlers of this process."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Console):
            handler.gather()
