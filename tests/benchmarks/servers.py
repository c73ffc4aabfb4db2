"""Compares granian, our server, with gunicorn: throughput, CPU, 99th percentile, and idle connections."""

import http.client
import socket
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.benchmarks.figures import ratio
from tests.benchmarks.load import ONE, READ, Load
from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, print_progress
from tests.benchmarks.serving import Serving
from tests.support.deployment import call
from tests.support.servers import Service

KINDS = {"GET recommendation": READ, "POST one action": ONE}
IDLE_CONNECTIONS = 50  # that send no request


@dataclass
class Choice:
    """The measurements of each server."""

    loads: dict[tuple[str, str], list[Load]] = field(default_factory=lambda: defaultdict(list))
    with_idle_connections: dict[str, str] = field(default_factory=dict)


def compare_servers(rig: Rig, scale: Scale, serving: Serving) -> Choice:
    """Measure both servers on the same database, alternating."""
    choice = Choice()
    gunicorn = rig.gunicorn(serving.stack)
    gunicorn.start()
    servers: dict[str, Service] = {"granian": serving.stack.web, "gunicorn": gunicorn}
    for repetition in range(-1, scale.servers):
        for kind_name, kind in KINDS.items():
            for name in list(servers)[:: 1 if repetition % 2 else -1]:
                load = serving.drive_ours(kind, scale.seconds if repetition >= 0 else 1, servers[name])
                if repetition >= 0:
                    choice.loads[name, kind_name].append(load)
    for name, server in servers.items():
        choice.with_idle_connections[name] = _with_idle_connections(server)
    gunicorn.close()
    print_progress(f"servers: response with {IDLE_CONNECTIONS} idle connections: {choice.with_idle_connections}")
    return choice


def _with_idle_connections(server: Service) -> str:
    """The response time of a request while many other connections are idle, as text."""
    with ExitStack() as connections:
        for _ in range(IDLE_CONNECTIONS):
            connections.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        time.sleep(0.5)
        begin = time.perf_counter()
        try:
            call(server.address, "GET", "/healthz", timeout=3)
        except (OSError, http.client.HTTPException):
            return "none within 3 s"
        return f"{1000 * (time.perf_counter() - begin):.0f} ms"


def table(choice: Choice) -> list[str]:
    """The comparison as rows of Markdown."""
    rows = ["| load | requests/s | CPU a request | p99 granian | p99 gunicorn |", "| --- | --- | --- | --- | --- |"]
    for kind in KINDS:
        ours, other = choice.loads["granian", kind], choice.loads["gunicorn", kind]
        rate = ratio([load.rate for load in ours], [load.rate for load in other])
        cpu = ratio([load.cpu["web"] for load in ours], [load.cpu["web"] for load in other])
        slow = [sorted(load.p99 for load in loads)[len(loads) // 2] for loads in (ours, other)]
        rows.append(f"| {kind} | {rate.text('x')} | {cpu.text('x')} | {slow[0]:.0f} ms | {slow[1]:.0f} ms |")
    idle = ", ".join(f"{name} {answer}" for name, answer in choice.with_idle_connections.items())
    return [*rows, "", f"Response time with {IDLE_CONNECTIONS} idle connections: {idle}."]
