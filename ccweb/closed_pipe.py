"""The end of a command whose output nobody reads any more, as with `| head -1`: quiet, with the exit code of cat."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

EXIT_CODE = 128 + signal.SIGPIPE  # what a shell reports of cat or grep; 0 would call a cut export whole


@contextmanager
def ends_quietly() -> Iterator[None]:
    """Ends the process with EXIT_CODE when stdout or stderr was closed by its reader.

    Not by the default action of SIGPIPE, which would also end the process when a server closes a connection.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # here: when the interpreter does it at exit, it prints what it cannot do
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
        if not closed:  # it was a connection to a server
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in closed:
            os.dup2(nowhere, stream.fileno())
        sys.exit(EXIT_CODE)


def _is_closed(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
