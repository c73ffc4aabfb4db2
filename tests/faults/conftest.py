"""Fixtures of the fault tests: deployments, the seed of the run; prints the table of results at its end."""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from tests.faults.figures import PROPERTY, Figure, table, write
from tests.faults.lengths import MINUTES
from tests.faults.world import World
from tests.support.kafka_mock import MockCluster
from tests.support.servers import Kafka, Postgres, need

os.environ.setdefault("FAULT_SEED", str(secrets.randbelow(2**32)))  # inherited by xdist's workers
STARTED = time.monotonic()


@pytest.fixture
def seed() -> int:
    """FAULT_SEED: the same seed repeats the random choices of a run."""
    print(f"FAULT_SEED={os.environ['FAULT_SEED']}")
    return int(os.environ["FAULT_SEED"])


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """One deployment for many tests: each has to leave it working."""
    with ExitStack() as things:
        postgres = things.enter_context(need(Postgres))
        kafka = things.enter_context(need(Kafka))
        yield things.enter_context(World(postgres, kafka))


@pytest.fixture
def failing(postgres_of_mocks: Postgres) -> Iterator[World]:
    """A deployment on a Kafka cluster that fails on command."""
    with MockCluster() as cluster:
        cluster.create_topic("topic_user_actions")
        with World(postgres_of_mocks, cluster, relays=1) as world:
            yield world


@pytest.fixture(scope="session")
def postgres_of_mocks() -> Iterator[Postgres]:
    """A server for the tests in which only Kafka fails."""
    with need(Postgres) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures, and write them into docs/promises.md when FAULT_FIGURES=1 (`make faults`)."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    figures: list[Figure] = [
        value
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if not figures:
        return
    seed, run = f"FAULT_SEED={os.environ['FAULT_SEED']}", f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    terminalreporter.write_line(f"\n{table(figures, run)}\n{seed}")
    if os.environ.get("FAULT_FIGURES") == "1":
        failed = [report.nodeid.rpartition("::")[2] for report in terminalreporter.getreports("failed")]
        passed = len(reports) - len(failed)
        ended = f"The last run ended at {run} UTC after {(time.monotonic() - STARTED) / 60:.0f} minutes"
        verdict = f"{passed} passed, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}"
        write(figures, f"{ended}, `{seed} FAULT_MINUTES={MINUTES:g}`: {verdict}.", run)
