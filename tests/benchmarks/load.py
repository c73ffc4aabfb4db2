"""Load test of a server: throughput from wrk, and the server's CPU time from /proc over the same period."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.support.programs import Missing
from tests.support.servers import Service

CONNECTIONS = 16
USERS = 50_000
SCRIPT = Path(__file__).with_name("load.lua")
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Kind(NamedTuple):
    """A kind of request: its name in load.lua, the events per request, and the least seconds of a run of the peer."""

    name: str
    events: int = 1
    peer_seconds: int = 0


ONE, READ = Kind("one"), Kind("get")
HUNDRED, THOUSAND = Kind("list", 100, peer_seconds=4), Kind("list", 1000, peer_seconds=25)
IDENTIFIED = Kind("identified", 1000)  # lists of items with new event_ids


@dataclass(frozen=True)
class Load:
    """The result of a run; CPU in milliseconds per request by process name, latencies in milliseconds."""

    requests: int
    rate: float
    events: float  # per second
    cpu: dict[str, float]
    p50: float
    p99: float
    refused: int  # 503: the server was too busy


def need_wrk() -> None:
    """Raise Missing when the load generator is not installed."""
    if shutil.which("wrk") is None:
        raise Missing("wrk, the load generator, is not installed: apt-get install wrk")


def drive(url: str, kind: Kind, *, seconds: int, users: int, key: str, cpu_of: Mapping[str, Service]) -> Load:
    """Send for `seconds` over 16 connections; RuntimeError when connections break or most requests are refused.

    The rate is connections / mean latency (Little's law), because counting would lose the lists that are in progress
    at the end of a run. Refused requests do not count.
    """
    pids = {name: service.pids() for name, service in cpu_of.items()}
    before = {name: cpu_seconds(pids[name]) for name in pids}
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "60s", "-s", str(SCRIPT), url, "--"]
    command += [kind.name, str(kind.events), str(users), key, str(random.randrange(2**32))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds + 60)
    used = {name: cpu_seconds(pids[name]) - before[name] for name in pids}
    if done.returncode or not done.stdout:
        raise RuntimeError(f"wrk failed: {done.stderr or done.stdout}")
    result = json.loads(done.stdout.splitlines()[-1])
    accepted = result["requests"] - result["wrong"]
    if result["broken"] or accepted <= result["wrong"]:
        raise RuntimeError(f"{url} did not serve the load {kind}: {result}")
    rate = CONNECTIONS / result["mean"] * accepted / result["requests"]
    cpu = {name: 1000 * seconds / accepted for name, seconds in used.items()}
    return Load(accepted, rate, rate * kind.events, cpu, result["p50"], result["p99"], result["wrong"])


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes so far, in seconds."""
    return sum(_ticks(pid) for pid in pids) / CLOCK_TICKS_PER_SECOND


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def peak_mb(pid: int) -> float:
    """Peak resident memory of a process in MB, 0 when it has ended.

    Not ru_maxrss of wait4, because a child that was started by vfork inherits its parent's.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def resident_mb(pids: Iterable[int]) -> list[float]:
    """Resident memory of each process, in MB."""
    return [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 for pid in pids]
