"""Soak test: memory, descriptors and connections do not grow under FAULT_MINUTES of load."""

import time
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.benchmarks.load import resident_mb
from tests.faults.figures import PROPERTY, Recorder, figure
from tests.faults.lengths import MINUTES
from tests.faults.world import World

pytestmark = [pytest.mark.stack, pytest.mark.long]
RATE = 200  # requests per second: half of the most that two busy cores served, a fifth of what idle ones serve
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Sample(NamedTuple):
    """Resident memory (MB) and descriptors of the web workers and relays, and connections to the database."""

    memory: float
    descriptors: int
    connections: int


def sample(world: World) -> Sample:
    """Take a sample."""
    pids = [pid for program in world.programs for pid in program.pids()]
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    with psycopg.connect(world.stack.database_url) as database:
        (connections,) = database.execute(CONNECTIONS).fetchone() or (0,)
    return Sample(sum(resident_mb(pids)), descriptors, connections)


def test_a_steady_load_does_not_grow_the_processes(world: World, seed: int, record_property: Recorder) -> None:
    samples: list[Sample] = []
    with world.traffic(seed, rate=RATE, users=1000, clients=16) as traffic:
        end = time.monotonic() + MINUTES * 60
        while time.monotonic() < end:
            time.sleep(min(10, MINUTES * 6))
            samples.append(sample(world))
    found = world.reconcile(traffic)
    tenth = max(1, len(samples) // 10)
    begun, ended = (Sample(*map(max, zip(*part, strict=True))) for part in (samples[:tenth], samples[-tenth:]))
    notes = ", ".join(
        f"{name} {before:.0f} -> {after:.0f}"
        for name, before, after in zip(("MB", "descriptors", "connections"), begun, ended, strict=True)
    )
    record_property(PROPERTY, figure(f"load of {MINUTES:g} min", found, None, f"all processes: {notes}"))
    assert (found.missing, found.phantoms, found.duplicates, found.inversions) == (0, 0, 0, 0), found
    assert ended.memory < 1.05 * begun.memory, samples
    assert ended.descriptors <= begun.descriptors + 5, samples
    assert ended.connections <= begun.connections + 1, samples
