"""What a worker process of the web server needs before and besides Django."""

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
# What the server takes from each request; other names in its WSGI environment are the process's own variables.
FROM_THE_REQUEST = {
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"),
    *("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR"),
}
logger = logging.getLogger(__name__)


def share_metrics() -> None:
    """Let prometheus_client keep its numbers in files that all workers of one server read.

    Call it before anything imports prometheus_client. The folder is named after the server process, pid and start
    time, so that a new server begins with an empty one, whoever starts it.
    """
    if "prometheus_client" in sys.modules or os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return  # the development server, which is alone; or an operator who keeps a folder of his own
    home = Path(tempfile.gettempdir(), f"ccweb-metrics-{os.getuid()}")
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid != os.getuid():
            raise PermissionError(f"{home} belongs to somebody else")
        _remove_folders_of_ended_servers(home)
        folder = home / _server()
        folder.mkdir(exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        _count_by_one_pid()
    except OSError as error:
        logger.warning("each worker shows its own metrics only, because they cannot share a folder: %s", error)


def end_with_server() -> None:
    """Stop this worker when its server is gone: after a kill -9 of the server its workers would live on."""
    if multiprocessing.parent_process() is not None:  # else nobody manages this process, as with runserver
        threading.Thread(target=_outlive, args=[server_pid()], name="server-watch", daemon=True).start()


def end_while_loading() -> None:
    """Let SIGTERM end this worker until the server handles it: one that comes during the imports would be lost."""
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def server_pid() -> int:
    """The process that forked this worker, dead or alive; os.getppid() is another one when it died meanwhile."""
    server = multiprocessing.parent_process()
    return server.pid if server and server.pid else os.getppid()


def give_up(reason: str) -> NoReturn:
    """Stop this worker and its server with one line: what cannot start must not be started again and again."""
    print(reason, file=sys.stderr, flush=True)  # noqa: T201  the logs are not set up yet
    server = multiprocessing.parent_process()
    if server is not None and server.pid is not None:
        os.kill(server.pid, signal.SIGTERM)
    sys.exit(1)


def only_the_request(application: WSGIApplication) -> WSGIApplication:
    """Keep the process's environment, secrets included, out of request.META, where granian copies it."""
    for name in [n for n in os.environ if n.startswith("HTTP_") or n in FROM_THE_REQUEST]:
        del os.environ[name]  # it would look like a part of every request
    ours = [name for name in os.environ if name not in FROM_THE_REQUEST]

    def without_environment(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        for name in ours:
            environ.pop(name, None)
        return application(environ, start_response)

    return without_environment


def _outlive(server: int) -> None:
    while os.getppid() == server:
        time.sleep(1)
    logger.error("the server process %d is gone: its worker stops too", server)
    os.kill(os.getpid(), signal.SIGTERM)


def _count_by_one_pid() -> None:
    """prometheus_client need not ask the kernel for the pid at each count: it changes by a fork alone."""
    from prometheus_client import values  # not before the folder is named

    pid = cache(os.getpid)
    os.register_at_fork(after_in_child=pid.cache_clear)
    values.ValueClass = values.MultiProcessValue(pid)  # type: ignore[no-untyped-call]


def _server() -> str:
    pid = server_pid()
    return f"{pid}-{_start_of(pid)}"


def _start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot; "0" when it is gone or where /proc is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return "0"


def _remove_folders_of_ended_servers(home: Path) -> None:
    for folder in home.iterdir():
        pid, _, start = folder.name.partition("-")
        if not pid.isdigit() or _start_of(int(pid)) != start:
            shutil.rmtree(folder, ignore_errors=True)
