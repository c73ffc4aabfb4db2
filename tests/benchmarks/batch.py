"""T4 to T7 and T10b: compute_rfm compared with the peer's loop and the bare aggregate, at several sizes."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from tests.benchmarks.figures import Figures, Measured, ratio
from tests.benchmarks.history import END, add_day, fill, quiet, vacuum
from tests.benchmarks.load import peak_mb
from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, print_progress
from tests.support.deployment import ROOT

AGGREGATE = """SELECT user_id, max(action_timestamp) AS last, count(*) AS actions, sum(value) AS total
    FROM user_actions GROUP BY user_id"""
# The rows stay in the server, because sending them is a cost of the client. Every column is selected: PostgreSQL does
# not compute unused columns, which would halve the work.
BARE = f"SELECT count(*), max(last), sum(actions), sum(total) FROM ({AGGREGATE} OFFSET 0) AS aggregate"
CLEAR_RESULTS = "TRUNCATE user_segments, segment_changes, rfm_runs"
GROUPS = "SELECT user_id, rfm_group FROM user_segments WHERE user_id = ANY(%s)"


@dataclass
class Batch:
    """The measurements at one size, one value per repetition: seconds, megabytes, rows, bytes of WAL."""

    actions: int
    aggregate: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    next_day: list[float] = field(default_factory=list)
    unchanged: list[float] = field(default_factory=list)
    peer_first: list[float] = field(default_factory=list)
    peer_next_day: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    rows: list[float] = field(default_factory=list)
    wal: list[float] = field(default_factory=list)
    users: int = 0


class SizeBenchmark:
    """The benchmark of one size: ours, the peer and the aggregate alternate on one database."""

    def __init__(self, rig: Rig, scale: Scale, actions: int, url: str | None = None) -> None:
        self.found, self._scale, self._rig = Batch(actions), scale, rig
        self.url = url or rig.database(f"history_{actions}")
        if url is None:
            fill(self.url, actions)
        self._stack = rig.ours(self.url, redis_database=2)

        print_progress(f"RFM: {actions} actions are stored")

    def first_run(self) -> None:
        """Measure a first run: no user has a segment yet."""
        self._execute(CLEAR_RESULTS)
        self._aggregate()
        peer = self._peer(END)
        self._execute(CLEAR_RESULTS)  # remove the dead rows of the peer's rolled back transaction
        self.found.peer_first.append(peer["seconds"])
        report = self._compute(END)
        self.found.first.append(report["duration"])
        self.found.users = report["users"]
        self._compare(peer["groups"])

    def next_day(self, day: int) -> None:
        """Measure a run after one more day of actions, then a run without new actions."""
        as_of = add_day(self.url, day, self.found.actions)
        self._aggregate()
        self.found.peer_next_day.append(self._peer(as_of)["seconds"])
        self.found.next_day.append(self._compute(as_of)["duration"])
        report = self._compute(as_of)
        self.found.wal.append(report["wal"])
        self.found.unchanged.append(report["duration"])
        self.found.rows.append(report["changed"])

    def report(self) -> None:
        """Print the measurements."""
        spent = {name: [round(s, 2) for s in getattr(self.found, name)] for name in ("aggregate", "first", "next_day")}
        print_progress(f"RFM: {self.found.actions} actions: {spent}")

    def _compute(self, as_of: datetime) -> dict[str, Any]:
        """The report of compute_rfm --json and its bytes of WAL; also records its peak memory."""
        quiet(self.url)
        written = self._wal()
        command = [sys.executable, "manage.py", "compute_rfm", "--as-of", as_of.isoformat(), "--json"]
        environment = self._stack.environment | {"LOG_LEVEL": "WARNING"}  # so that no log line interrupts the progress
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        peak = 0.0
        while process.poll() is None:  # its output is one short line, which fits into the pipe
            peak = peak_mb(process.pid) or peak
            time.sleep(0.02)
        assert process.stdout is not None
        output = process.stdout.read()
        if process.returncode:
            raise RuntimeError(f"compute_rfm ended with {process.returncode}: {output}")
        self.found.memory.append(peak)
        return json.loads(output) | {"wal": self._wal() - written}

    def _peer(self, as_of: datetime) -> dict[str, Any]:
        """The peer's query, and its loop for a sample of users scaled to all; its writes are rolled back."""
        quiet(self.url)
        arguments = ["-m", "tests.benchmarks.peer.rfm", as_of.isoformat(), str(self._scale.sampled_users)]
        environment = self._rig.peer_environment(self.url)
        output = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        done = json.loads(output)
        return done | {"seconds": done["query"] + done["loop"] * done["users"] / len(done["groups"])}

    def _compare(self, groups: dict[str, str]) -> None:
        with closing(psycopg.connect(self.url)) as connection:
            ours = dict(connection.execute(GROUPS, [[int(user_id) for user_id in groups]]).fetchall())
        differing = [user_id for user_id, group in groups.items() if ours.get(int(user_id)) != group]
        if differing:
            raise RuntimeError(
                f"the peer puts {len(differing)} of {len(groups)} users into other groups: {differing[:5]}"
            )

    def _aggregate(self) -> None:
        vacuum(self.url)
        quiet(self.url)
        with closing(psycopg.connect(self.url)) as connection:
            connection.execute("SET max_parallel_workers_per_gather = 0")
            connection.execute(BARE)  # warms the cache, which has the rows of another size
            begin = time.perf_counter()
            connection.execute(BARE)
            self.found.aggregate.append(time.perf_counter() - begin)

    def _wal(self) -> float:
        with closing(psycopg.connect(self.url)) as connection:
            return float(connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0])  # type: ignore[index]

    def _execute(self, statement: str) -> None:
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            connection.execute(statement)


def measure(rig: Rig, scale: Scale, existing: Mapping[int, str]) -> tuple[list[Batch], dict[int, str]]:
    """The measurements at each size, and the URLs of the databases; `existing` ones are not filled.

    The sizes alternate, because T7 compares them: first all repetitions of the first run, then of the next day.
    """
    sizes = [SizeBenchmark(rig, scale, actions, existing.get(actions)) for actions in scale.actions]
    for repetition in range(scale.runs):
        for size in sizes[:: -1 if repetition % 2 else 1]:
            size.first_run()
        print_progress(f"RFM: first runs, repetition {repetition + 1} of {scale.runs}")
    for day in range(1, scale.runs + 1):
        for size in sizes[:: -1 if day % 2 else 1]:
            size.next_day(day)
        print_progress(f"RFM: next days, repetition {day} of {scale.runs}")
    for size in sizes:
        size.report()
    return [size.found for size in sizes], {size.found.actions: size.url for size in sizes}


def figures(batches: Sequence[Batch]) -> Figures:
    """T4 to T7 and T10b; those of one size at the largest."""
    largest, runs = batches[-1], len(batches[-1].first)
    found = {
        "T4a": ratio(largest.peer_next_day, largest.next_day),
        "T4b": ratio(largest.next_day, largest.aggregate[runs:]),
        "T5a": ratio(largest.unchanged, largest.aggregate[runs:]),
        "T5b": Measured.of(largest.rows),
        "T6a": ratio(largest.peer_first, largest.first),
        "T6b": ratio(largest.first, largest.aggregate[:runs]),
        "T10b": Measured.of([max(max(batch.memory) for batch in batches)]),
    }
    if len(batches) > 1:
        found["T7"] = Measured.of([_cost_ratio(batches)])
    return found


def _cost_ratio(batches: Sequence[Batch]) -> float:
    """The largest ratio, over all kinds of run, between the sizes with the highest and lowest cost of an action."""
    ratios = []
    for kind in ("first", "next_day", "unchanged"):
        costs = [Measured.of(getattr(batch, kind)).value / batch.actions for batch in batches]
        ratios.append(max(costs) / min(costs))
    return max(ratios)
