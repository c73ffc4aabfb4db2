"""Start and end of a worker process of the web server: the metrics folder, and signals."""

import asyncio
import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
LIBC = ctypes.CDLL(None)
STOP_SECONDS = 1.0
logger = logging.getLogger(__name__)


def share_metrics() -> None:
    """Let prometheus_client keep its metrics in files that all workers of one server read.

    Call it before the first import of prometheus_client. The folder is named after the server process (pid and start
    time), so that every new server begins with an empty one.
    """
    if "prometheus_client" in sys.modules or os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return  # the development server, which has one process; or the operator has set a folder
    try:
        home = Path(tempfile.gettempdir(), f"ccweb-metrics-{os.getuid()}")  # fails where no folder can be written to
        home.mkdir(mode=0o700, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid != os.getuid():
            raise PermissionError(f"{home} belongs to another user")
        _remove_folders_of_ended_servers(home)
        folder = home / _server()
        folder.mkdir(exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    except OSError as error:
        logger.warning("each worker shows its own metrics only, because the shared folder is not usable: %s", error)


def end_with_server() -> None:
    """Stop this worker when its server has ended: after a kill -9 of the server its workers would keep running."""
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:  # else this process has no server process, as with runserver
        end_with(server.pid, signal.SIGTERM)


def end_with(parent: int, signum: signal.Signals) -> None:
    """Have the kernel (Linux) send the signal to this process when its parent, the thread that forked it, ends."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signum)
        if os.getppid() != parent:  # it ended before the call
            os.kill(os.getpid(), signum)


def stop_gently(loop: asyncio.AbstractEventLoop, stopping: Callable[[], None]) -> None:
    """At SIGTERM call `stopping`, answer for STOP_SECONDS more, and only then let granian stop.

    A client that uses a connection again just when it is closed would get no answer; so each answer in that time says
    that its connection is closed (`stopping` sees to that).
    """

    def stop() -> None:
        stopping()
        loop.call_later(STOP_SECONDS, signal.raise_signal, signal.SIGINT)  # granian's own handler

    loop.add_signal_handler(signal.SIGTERM, stop)


def end_while_loading() -> None:
    """Use the default action of SIGTERM until the server handles it: a signal during the imports would be lost."""
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def server_pid() -> int:
    """The id of the process that forked this worker, even if it has ended: os.getppid() is another process then."""
    server = multiprocessing.parent_process()
    return server.pid if server and server.pid else os.getppid()


def give_up(reason: str) -> NoReturn:
    """Print one line and stop this worker and its server, which would restart a worker that cannot start forever."""
    print(reason, file=sys.stderr, flush=True)  # noqa: T201  logging is not configured yet
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        os.kill(server.pid, signal.SIGTERM)
    sys.exit(1)


def _server() -> str:
    pid = server_pid()
    return f"{pid}-{_start_of(pid)}"


def _start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot; "0" when it has ended or where there is no /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "0"


def _remove_folders_of_ended_servers(home: Path) -> None:
    for folder in home.iterdir():
        pid, _, start = folder.name.partition("-")
        if not pid.isdigit() or _start_of(int(pid)) != start:
            shutil.rmtree(folder, ignore_errors=True)
