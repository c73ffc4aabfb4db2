"""Granian, which serves ours, against gunicorn: throughput, CPU, the slowest hundredth, and silent clients."""

import http.client
import socket
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.benchmarks.figures import ratio
from tests.benchmarks.load import ONE, READ, Load
from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, say
from tests.benchmarks.serving import Serving
from tests.support.deployment import call
from tests.support.servers import Service

KINDS = {"GET recommendation": READ, "POST one action": ONE}
SILENT = 50  # connections that say nothing


@dataclass
class Choice:
    """What was measured of each server."""

    loads: dict[tuple[str, str], list[Load]] = field(default_factory=lambda: defaultdict(list))
    behind_silence: dict[str, str] = field(default_factory=dict)


def compare_servers(rig: Rig, scale: Scale, serving: Serving) -> Choice:
    """Both on the same database, in turn."""
    choice = Choice()
    gunicorn = rig.gunicorn(serving.stack)
    gunicorn.start()
    servers: dict[str, Service] = {"granian": serving.stack.web, "gunicorn": gunicorn}
    for repetition in range(-1, scale.servers):
        for kind_name, kind in KINDS.items():
            for name in list(servers)[:: 1 if repetition % 2 else -1]:
                url = f"http://{servers[name].address}/api/actions"
                load = serving.drive_ours(url, kind, scale.seconds if repetition >= 0 else 1, web=servers[name])
                if repetition >= 0:
                    choice.loads[name, kind_name].append(load)
    for name, server in servers.items():
        choice.behind_silence[name] = _behind_silence(server)
    gunicorn.close()
    say(f"servers: answers behind {SILENT} silent connections: {choice.behind_silence}")
    return choice


def _behind_silence(server: Service) -> str:
    """How long a request takes while many clients have connected and say nothing."""
    with ExitStack() as silent:
        for _ in range(SILENT):
            silent.enter_context(socket.create_connection(("127.0.0.1", server.port)))
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
    silence = ", ".join(f"{name} {answer}" for name, answer in choice.behind_silence.items())
    return [*rows, "", f"An answer while {SILENT} connected clients say nothing: {silence}."]
