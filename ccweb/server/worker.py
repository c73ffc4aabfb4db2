"""Start and end of a worker process of the web server: metrics folder, signals, WSGI environment."""

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
# Variables that the server sets per request; all other names in its WSGI environment are the process's own.
FROM_THE_REQUEST = {
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH"),
    *("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "REMOTE_ADDR"),
}
logger = logging.getLogger(__name__)


def share_metrics() -> None:
    """Let prometheus_client keep its metrics in files that all workers of one server read.

    Call it before the first import of prometheus_client. The folder is named after the server process (pid and start
    time), so that every new server begins with an empty one.
    """
    if "prometheus_client" in sys.modules or os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return  # the development server, which has one process; or the operator has set a folder
    home = Path(tempfile.gettempdir(), f"ccweb-metrics-{os.getuid()}")
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid != os.getuid():
            raise PermissionError(f"{home} belongs to another user")
        _remove_folders_of_ended_servers(home)
        folder = home / _server()
        folder.mkdir(exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        _count_by_one_pid()
    except OSError as error:
        logger.warning("each worker shows its own metrics only, because the shared folder is not usable: %s", error)


def end_with_server() -> None:
    """Stop this worker when its server has ended: after a kill -9 of the server its workers would keep running."""
    if multiprocessing.parent_process() is not None:  # else this process has no server process, as with runserver
        threading.Thread(target=_stop_after_server, args=[server_pid()], name="server-watch", daemon=True).start()


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


def only_the_request(application: WSGIApplication) -> WSGIApplication:
    """Remove the process's environment, secrets included, from request.META, where granian copies it."""
    for name in [n for n in os.environ if n.startswith("HTTP_") or n in FROM_THE_REQUEST]:
        del os.environ[name]  # it would be taken for a part of every request
    process_variables = [name for name in os.environ if name not in FROM_THE_REQUEST]

    def without_environment(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        for name in process_variables:
            environ.pop(name, None)
        return application(environ, start_response)

    return without_environment


def _stop_after_server(server: int) -> None:
    while os.getppid() == server:
        time.sleep(1)
    logger.error("the server process %d has ended: its worker stops too", server)
    os.kill(os.getpid(), signal.SIGTERM)


def _count_by_one_pid() -> None:
    """Cache the pid, which prometheus_client would ask the kernel for at each count: only a fork changes it."""
    from prometheus_client import values  # only after the folder is set

    pid = cache(os.getpid)
    os.register_at_fork(after_in_child=pid.cache_clear)
    values.ValueClass = values.MultiProcessValue(pid)  # type: ignore[no-untyped-call]


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
