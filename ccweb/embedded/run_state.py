"""The state of `up` in its folder: a lock, which one instance holds, and run.json, which says where it runs."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

VAR = Path(__file__).parents[2] / "var"
STOP_TIMEOUT_SECONDS = 15  # the longest time that a stopping `up` takes


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Lock the folder; raises RuntimeError when another `up` holds it, but waits for one that is stopping."""
    with (folder / "up.lock").open("w") as lock:
        within(STOP_TIMEOUT_SECONDS, lambda: _locked(lock) or bool(read_run_file(folder)))
        if not _locked(lock):
            running = read_run_file(folder)
            where = f" at {running['url']}, process {running['pid']}" if running else ""
            raise RuntimeError(f"the system runs already{where}; stop it first (Ctrl-C in its terminal)")
        yield


def join_running(folder: Path = VAR) -> None:
    """Let this process be a command of the `up` that runs here: with its DEBUG, unless the environment has another.

    What an `up` that was killed left behind does not count, and the web server does not ask: neither a stale file nor
    an evaluation beside it must turn DEBUG on in production.
    """
    if os.environ.get("CCWEB_IGNORE_LOCAL") or not read_run_file(folder).get("debug"):
        return
    with suppress(OSError), (folder / "up.lock").open() as lock:
        if not _locked(lock):
            os.environ["DEBUG"] = os.environ.get("DEBUG") or "1"


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until the condition is true, at most so long; returns whether it is."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return true


def read_run_file(folder: Path) -> dict[str, Any]:
    """The content of run.json; empty when no `up` runs, but an `up` that was killed leaves its file."""
    with suppress(FileNotFoundError, ValueError):
        return dict(json.loads((folder / "run.json").read_text()))
    return {}


def write_run_file(folder: Path, content: dict[str, Any]) -> None:
    """Replace run.json atomically: a reader sees the old or the new content."""
    draft = folder / "run.json.draft"
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(folder / "run.json")
