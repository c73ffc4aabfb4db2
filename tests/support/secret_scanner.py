"""No log of the suite may show an API key or what a client sent: whatever is written is searched for both."""

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
    """The lines that show what they must not."""
    return [line for line in text.splitlines() if any(pattern.search(line) for pattern in LEAKS)]


def search(text: str) -> None:
    """AssertionError with the lines that leak."""
    if found := leaks(text):
        raise AssertionError(f"a log shows a key or a body: {found}")


class Lines(logging.Handler):
    """Keeps every line as production would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """As any handler: a record that cannot be formatted is reported, not raised."""
        try:
            self.text.append(self.format(record))
        except Exception:  # noqa: BLE001
            self.handleError(record)


@contextmanager
def watched() -> Iterator[None]:
    """Fails when this process logs a key or a body within the block."""
    lines = Lines()
    logging.getLogger().addHandler(lines)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(lines)
    search("\n".join(lines.text))
