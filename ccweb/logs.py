"""Log lines: JSON for machines in production, plain text with DEBUG on. Neither ever shows an API key or a password."""

import json
import logging
import re
from datetime import UTC, datetime

from ccweb.api.tracing import request_id

SECRETS = (
    (re.compile(r"(?i)(api-key\s+)[^\s'\",]+"), r"\1[hidden]"),
    (re.compile(r"\b[A-Za-z0-9]{8}\.[A-Za-z0-9]{32,}\b"), "[hidden]"),  # a key without its introduction
    (re.compile(r"(://[^\s:/@]*:)[^\s/@]+@"), r"\1[hidden]@"),  # a password in a URL
)


_encode = json.JSONEncoder(default=str).encode


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


class JSONFormatter(logging.Formatter):
    """For machines: an object a line with time (UTC), level, logger, message, request_id, traceback.

    `extra={"fields": {...}}` of a log call adds members.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        members = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": hide_secrets(record.getMessage()),
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
