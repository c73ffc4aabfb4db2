"""Searches the logs of the test suite for API keys and request bodies, which no log may contain."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from ccweb.logs import JSONFormatter

LEAKS = (
    re.compile(r"\b[A-Za-z0-9]{8}\.[A-Za-z0-9]{32,64}\b"),  # an API key
    re.compile(r"""\\?["'](user_id|action_type|event_id|visit_timestamp|risk_profile)\\?["']\s*:"""),  # a body
)


def leaks(text: str) -> list[str]:
    """The lines that contain a key or a body."""
    return [line for line in text.splitlines() if any(pattern.search(line) for pattern in LEAKS)]


def search(text: str) -> None:
    """Raise AssertionError with the lines that contain a key or a body, if any."""
    if found := leaks(text):
        raise AssertionError(f"a log shows a key or a body: {found}")


class LineRecorder(logging.Handler):
    """Keeps every log line in the format of production."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Like any handler, report a record that cannot be formatted instead of raising."""
        try:
            self.text.append(self.format(record))
        except Exception:  # noqa: BLE001
            self.handleError(record)


@contextmanager
def watched() -> Iterator[None]:
    """Fail when this process logs a key or a body within the block."""
    recorder = LineRecorder()
    logging.getLogger().addHandler(recorder)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(recorder)
    search("\n".join(recorder.text))
