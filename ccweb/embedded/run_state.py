"""The state of `up`: a lock for one instance, var/run.json, and the clean-up after an instance that was killed."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MARK = "CCWEB_UP"  # in the environment of every process that `up` starts: the folder of its state
STOP_TIMEOUT_SECONDS = 12  # the longest time that a stopping `up` takes


class AlreadyRunning(Exception):
    """Another `up` runs on the same folder; the message has its URL and process id."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lock the folder; raises AlreadyRunning when another `up` holds it, but waits for one that is stopping."""
    with (folder / "up.lock").open("w") as lock:
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while not _locked(lock.fileno()):
            running = read_run_file(folder)
            if running or time.monotonic() > deadline:
                where = f" at {running['url']}, process {running['pid']}" if running else ""
                raise AlreadyRunning(f"the system runs already{where}; stop it first (Ctrl-C in its terminal)")
            time.sleep(0.1)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read_run_file(folder: Path) -> dict[str, Any]:
    """The content of run.json; empty when no `up` runs."""
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads((folder / "run.json").read_text()))
    return {}


def write_run_file(folder: Path, content: dict[str, Any]) -> None:
    """Replace run.json atomically: a reader sees the old or the new content."""
    draft = folder / "run.json.draft"
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(folder / "run.json")


def end_leftovers(folder: Path, *, seconds: float = 5) -> int:
    """End the processes that a killed `up` of this folder left; returns how many. Call it inside only_one().

    They are found by the variable MARK in their environment (Linux: /proc), which no other process has.
    """
    left = list(marked_processes(folder))
    send(signal.SIGTERM, left)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and list(marked_processes(folder)):
        time.sleep(0.05)
    send(signal.SIGKILL, marked_processes(folder))
    return len(left)


def marked_processes(folder: Path) -> Iterator[int]:
    """The ids of the processes that an `up` of this folder started."""
    mark = f"{MARK}={folder}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # a process of another user, or one that has ended
            if mark in environ.read_bytes().split(b"\0"):
                yield int(environ.parent.name)


def send(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
