"""Writes docs/benchmarks.md from one full run and tests/benchmarks/notes.md."""

import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.benchmarks import plots, second_peers, servers
from tests.benchmarks.course import Results
from tests.benchmarks.figures import GOALS, Figures
from tests.benchmarks.load import Load
from tests.support.programs import KAFKA_VERSION, postgresql_programs

DOCS = Path(__file__).parents[2] / "docs"
NOTES = Path(__file__).with_name("notes.md")
LIBRARIES = (
    "Django",
    "djangorestframework",
    "psycopg",
    "granian",
    "fastapi",
    "sqlalchemy",
    "asyncpg",
    "uvicorn",
    "gunicorn",
)
LOADS = {
    "one": "POST one action, requests/s",
    "hundred": "POST lists of 100, events/s",
    "thousand": "POST lists of 1,000, events/s",
    "identified": "POST lists of 1,000 with event_ids, events/s",
    "read": "GET recommendation, requests/s",
}
FLOORS = {"one": "pgbench", "hundred": "COPY", "thousand": "COPY", "identified": "COPY", "read": "two raw loops"}


def table(figures: Figures) -> list[str]:
    """The figures and their goals, as rows of a Markdown table."""
    rows = ["| target | what | measured ratio | goal | met |", "| --- | --- | --- | --- | --- |"]
    for goal in GOALS:
        if goal.id in figures:
            found = figures[goal.id]
            met = "yes" if goal.is_met(found.value) else "no"
            rows.append(f"| {goal.id} | {goal.what} | {found.text(goal.unit)} | {goal} | {met} |")
    return rows


def write(results: Results, minutes: float) -> Path:
    """Write the document and its plots; returns the document."""
    DOCS.mkdir(exist_ok=True)
    plots.bars(DOCS / "throughput.svg", "Throughput, medians (longer is better)", _throughput(results))
    plots.lines(DOCS / "growth.svg", "compute_rfm by the number of actions, medians (s)", _growth(results))
    missed = [goal.id for goal in GOALS if not goal.is_met(results.figures[goal.id].value)]
    parts = {
        "table": table(results.figures),
        "summary": [f"{len(GOALS) - len(missed)} of {len(GOALS)} met; not met: {', '.join(missed) or 'none'}."],
        "machine": machine(minutes),
        "loads": _loads(results),
        "work": _work(results),
        "second peers": second_peers.table(results.second_peers) if results.second_peers else [],
        "servers": servers.table(results.choice) if results.choice else [],
        "growth": _sizes(results),
    }
    text = NOTES.read_text()
    for name, rows in parts.items():
        text = text.replace(f"<!-- {name} -->", "\n".join(rows))
    (document := DOCS / "benchmarks.md").write_text(text)
    return document


def machine(minutes: float) -> list[str]:
    """The machine and the versions of the run."""
    cpu = next(s.partition(":")[2].strip() for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = _run("git", "rev-parse", "--short", "HEAD")
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}, {minutes:.0f} minutes. {os.cpu_count()} shared cores ({cpu}), "
        f"{memory:.0f} GB, Linux {platform.release()}. {_run(str(postgresql_programs() / 'postgres'), '--version')}, "
        f"{' '.join(_run('redis-server', '--version').split()[:3])}, Apache Kafka {KAFKA_VERSION}, "
        f"Python {platform.python_version()}, {libraries}."
    ]


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _median_of(loads: list[Load], name: str) -> float:
    return median(getattr(load, name) for load in loads)


def _throughput(results: Results) -> Mapping[str, Mapping[str, float]]:
    return {
        title: {
            who: _median_of(found, "events") for who in ("ours", "peer") if (found := results.loads.get((who, name)))
        }
        | {FLOORS[name]: median(results.floors[name])}
        for name, title in LOADS.items()
    }


def _growth(results: Results) -> Mapping[str, list[tuple[float, float]]]:
    kinds = {
        "first run": "first",
        "next day": "next_day",
        "nothing changed": "unchanged",
        "bare aggregate": "aggregate",
    }
    return {
        title: [(batch.actions, median(getattr(batch, kind))) for batch in results.batches]
        for title, kind in kinds.items()
    }


def _loads(results: Results) -> list[str]:
    rows = [
        "| load | system | events/s | CPU ms a request | p50 ms | p99 ms | refused |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (who, name), loads in sorted(results.loads.items(), key=lambda item: [*LOADS].index(item[0][1])):
        cpu = ", ".join(f"{part} {median(load.cpu[part] for load in loads):.2f}" for part in loads[0].cpu)
        refused = sum(load.refused for load in loads) / sum(load.refused + load.requests for load in loads)
        slow = f"{_median_of(loads, 'p50'):.0f} | {_median_of(loads, 'p99'):.0f} | {refused:.1%}"
        rows.append(
            f"| {LOADS[name].rpartition(',')[0]} | {who} | {_median_of(loads, 'events'):,.0f} | {cpu} | {slow} |"
        )
    rows += [
        f"| {LOADS[n].rpartition(',')[0]} | {FLOORS[n]} | {median(v):,.0f} | | | | |" for n, v in results.floors.items()
    ]
    return rows


def _work(results: Results) -> list[str]:
    return [
        f"- {who}: {done['answered']:,} events answered, {done['rows']:,} rows, {done['messages']:,} messages"
        for who, done in results.work.items()
    ]


def _sizes(results: Results) -> list[str]:
    rows = ["| what | " + " | ".join(f"{batch.actions:,} actions" for batch in results.batches) + " |"]
    rows += ["| --- |" + " --- |" * len(results.batches)]
    for title, curve in _growth(results).items():
        rows.append(f"| {title}, us an action | " + " | ".join(f"{1e6 * s / n:.3f}" for n, s in curve) + " |")
    memory = [f"{max(batch.memory):.0f}" for batch in results.batches]
    rows.append(f"| compute_rfm, MB | {' | '.join(memory)} |")
    wal = [f"{median(batch.wal) / 1000:.0f}" for batch in results.batches]
    rows.append(f"| nothing changed, kB of WAL | {' | '.join(wal)} |")
    for name in next(iter(results.pages.values())):
        rows.append(f"| {name}, ms | " + " | ".join(f"{page[name]:.1f}" for page in results.pages.values()) + " |")
    drains = ", ".join(f"{median(rates):,.0f} a second of {size:,}" for size, rates in results.drains.items())
    return [*rows, "", f"Relay, messages delivered: {drains}."]
