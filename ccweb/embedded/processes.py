"""Supervised child processes, which end with their parent."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
STABLE_SECONDS = 30  # uptime after which the count of failures is reset
LONGEST_PAUSE_SECONDS = 30
SHOWN_LOG_LINES = 15


def end_with_parent(parent: int) -> None:
    """Have the kernel (Linux) send SIGTERM to this process when its parent, the thread that forked it, ends."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before the call
            os.kill(os.getpid(), signal.SIGTERM)


def accepts(port: int) -> bool:
    """Whether a process listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(first: int) -> int:
    """The first free port of 127.0.0.1 from `first` on; usually the same at each start, so that clients find it."""
    return next(port for port in range(first, first + 1000) if is_free(port))


class Child:
    """A process in its own process group, with output to a log file, restarted with exponential backoff."""

    def __init__(self, name: str, command: list[str], *, log: Path, cwd: Path, environment: dict[str, str]) -> None:
        self.name, self.log = name, log
        self._command, self._cwd, self._environment = command, cwd, environment
        self._failures, self._started, self._due = 0, 0.0, 0.0
        if log.exists():
            log.replace(log.with_suffix(".old"))
        self.start()

    @property
    def pid(self) -> int:
        """The process id, also the id of its group."""
        return self._process.pid

    def start(self) -> None:
        """Start the process; raises OSError when there is no such program."""
        parent = os.getpid()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._cwd,
                env=self._environment,
                process_group=0,  # Ctrl-C goes to the supervisor only, which stops the children in order
                preexec_fn=lambda: end_with_parent(parent),  # noqa: PLW1509 - the supervisor has a single thread
            )
        self._started, self._due = time.monotonic(), 0.0

    def has_ended(self) -> bool:
        """Whether the process itself has ended; others of its group may still run."""
        return self._process.poll() is not None

    def keep_alive(self, say: Callable[[str], None]) -> bool:
        """Restart the process when it has ended and the pause is over; True when it was started."""
        if not self.has_ended():
            if time.monotonic() - self._started > STABLE_SECONDS:
                self._failures = 0
            return False
        if not self._due:
            self.kill()  # other processes of its group may still run
            pause = min(2**self._failures, LONGEST_PAUSE_SECONDS)
            self._failures += 1
            self._due = time.monotonic() + pause
            say(f"{self.name} ended ({self._process.returncode}), restart in {pause} s; its log:\n{self.log_tail()}")
            return False
        if time.monotonic() < self._due:
            return False
        self.start()
        return True

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ready() is true; RuntimeError with the end of the log when the process ends or on a timeout."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.has_ended() or time.monotonic() > deadline:
                how = "ended" if self.has_ended() else f"is not ready after {seconds:.0f} s"
                raise RuntimeError(f"{self.name} {how}:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self) -> str:
        """The last lines of the log, indented."""
        lines = self.log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
        return "\n".join(f"    {self.log.name}: {line}" for line in lines)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to the process group and reap the process."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def stop_all(children: list[Child], *, seconds: float) -> list[str]:
    """Terminate the children, kill those that have not ended after `seconds`; returns the names of the killed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(child.has_ended() for child in children):
        time.sleep(0.05)
    late = [child.name for child in children if not child.has_ended()]
    for child in children:
        child.kill()
    return late
