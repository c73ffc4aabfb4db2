"""How a manage.py command ends: in one line that says what failed, or quietly when nobody reads its output."""

import os
import select
import signal
import sys
from typing import TextIO

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError

UNREAD_EXIT = 128 + signal.SIGPIPE  # what a shell reports of cat or grep; 0 would call a cut export whole


def execute(arguments: list[str]) -> None:
    """Run one command. A malformed setting, an error of the database or of the system ends it with one line and 1.

    When the reader of its output has closed it, as with `| head -1`, it ends with UNREAD_EXIT. Not by the default
    action of SIGPIPE, which would also end the process when a server closes a connection.
    """
    if sys.stdout is None:  # closed by the caller, as with >&-
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    try:
        try:
            execute_from_command_line(arguments)
        finally:
            sys.stdout.flush()  # here: when the interpreter does it at exit, it prints what it cannot do
    except (ImproperlyConfigured, DatabaseError, OSError) as error:
        streams = list(filter(None, (sys.stdout, sys.stderr)))
        is_unread = isinstance(error, BrokenPipeError) and any(map(_is_closed, streams))
        if "--traceback" in arguments and not is_unread:
            raise
        for stream in streams if is_unread else [sys.stdout]:
            _discard(stream)
        sys.exit(UNREAD_EXIT if is_unread else _in_one_line(error))


def _in_one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"ccweb: {text}" if isinstance(error, ImproperlyConfigured) else f"ccweb: {text} (--traceback shows where)"


def _is_closed(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _discard(stream: TextIO) -> None:
    """Write nowhere what is still buffered."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
