"""Processes and ports of this machine, from /proc (Linux)."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

DEAD, STOPPED = "ZX", "Tt"  # the state letters of /proc


def free_port() -> int:
    """A free TCP port of 127.0.0.1 below the range of outgoing connections.

    A client that connects to a stopped server on a port of that range may be connected to itself.
    """
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = 10_000 + secrets.randbelow(max(first_outgoing - 10_000, 1_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def process_tree(pid: int) -> list[int]:
    """The ids of a process and its descendants, parents first, without zombies."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := state_and_parent(int(entry.name))) and stat[0] not in DEAD:
            children.setdefault(stat[1], []).append(int(entry.name))
    tree = [pid] if is_alive(pid) else []
    for member in tree:
        tree.extend(children.get(member, []))
    return tree


def state_and_parent(pid: int) -> tuple[str, int] | None:
    """The state letter (R, S, T, Z ...) and the parent of a process; None when it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]  # the name before it may contain any character
    return state, int(parent)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    stat = state_and_parent(pid)
    return stat is not None and stat[0] not in DEAD


def is_running(pid: int) -> bool:
    """Whether the process exists, is not a zombie and is not stopped."""
    stat = state_and_parent(pid)
    return stat is not None and stat[0] not in DEAD + STOPPED


def send(signum: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until the condition is true; raises TimeoutError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)


def wait_for_a_minute_with(seconds: int) -> None:
    """Wait until the clock minute has this many seconds left, so that the window of a rate limit does not end early."""
    if (left := 60 - time.time() % 60) < seconds:
        time.sleep(left)


def run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    """Run a command to its end; raises RuntimeError with the end of its output when it fails."""
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{end}")
