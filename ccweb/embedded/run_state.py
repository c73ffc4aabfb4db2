"""One `up` at a time, what it runs in var/run.json, and no process left of one that was killed."""

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
STOP_TIMEOUT_SECONDS = 12  # an `up` that is stopping needs no longer


class AlreadyRunning(Exception):
    """Another `up` runs on the same folder; the message says which."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder; AlreadyRunning when another one does. One that is just stopping is waited for."""
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
    """What runs; empty when nothing does."""
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads((folder / "run.json").read_text()))
    return {}


def write_run_file(folder: Path, content: dict[str, Any]) -> None:
    """Replace var/run.json in one step: a reader sees the old or the new one."""
    draft = folder / "run.json.draft"
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(folder / "run.json")


def end_leftovers(folder: Path, *, seconds: float = 5) -> int:
    """End the processes that a killed `up` of this folder left; how many. Call it inside only_one().

    They are known by the mark in their environment (Linux: /proc), which no other process has.
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
        with suppress(OSError):  # it is another user's, or ended meanwhile
            if mark in environ.read_bytes().split(b"\0"):
                yield int(environ.parent.name)


def send(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
