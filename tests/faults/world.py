"""The deployment under test: PostgreSQL with its default durability, Kafka, the web process, two relays."""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import psycopg

from ccweb.db.leader_election import SessionLock
from tests.faults.accounting import Account, account, read_messages, read_rows, verify_checker
from tests.faults.traffic import Sent, Traffic, attempt
from tests.support.deployment import Program, Stack
from tests.support.kafka_mock import MockCluster
from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for
from tests.support.servers import Kafka, Postgres, beside, create_database

TOPIC = "topic_user_actions"
FURTHEST = "SELECT coalesce(max(id), 0) FROM outbox"
BEHIND = "SELECT count(*) FROM outbox WHERE id <= %s AND quarantined_at IS NULL"
LEADERS = """SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s"""
DRAIN_SECONDS = 300


class World:
    """Starts all processes; `kafka` may be a mock that fails. `repair` restarts processes that a fault has killed."""

    def __init__(self, postgres: Postgres, kafka: Kafka | MockCluster, *, relays: int = 2) -> None:
        self.postgres, self.kafka = postgres, kafka
        self.traffics: list[Traffic] = []  # of all tests, also of failed ones
        self.known: set[str] = set()  # event_ids of canaries
        self._things = ExitStack()
        self.stack = self._things.enter_context(
            Stack(
                database_url=create_database(postgres.url, f"ccweb_{uuid.uuid4().hex[:8]}"),
                redis_url=beside(os.environ["REDIS_URL"], 2),
                kafka_broker=kafka.address,
                RELAY_IN_WEB="0",
                THROTTLE_KEY="99999999/min",
                THROTTLE_ADDRESS="99999999/min",
            )
        )
        self.relays = [self.stack.program("relay", PGAPPNAME=f"relay-{number}") for number in range(relays)]

    def __enter__(self) -> Self:
        with self._things.pop_all() as things:  # ends all when the start fails
            self.stack.manage("migrate")
            for program in self.programs:
                program.start()
            self._things = things.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._things.close()

    @property
    def programs(self) -> list[Program]:
        """The web process and the relays."""
        return [self.stack.web, *self.relays]

    @property
    def web(self) -> str:
        """The address (host:port) of the web process."""
        return self.stack.web.address

    @contextlib.contextmanager
    def traffic(self, seed: int, **more: float) -> Iterator[Traffic]:
        """Clients on this deployment, after all processes run and one action was acknowledged."""
        self.repair()
        self.canary()
        with Traffic(self.web, seed=seed, **more) as traffic:
            try:
                traffic.wait_for_ack()
                yield traffic
            finally:
                self.traffics.append(traffic)

    def leader(self) -> Program:
        """Wait until a relay leads, and return it."""
        key, found = SessionLock("relay").key, []

        def leads() -> bool:
            with psycopg.connect(self.stack.database_url) as database:
                found[:] = [row[0] for row in database.execute(LEADERS, [key])]
            return bool(found)

        wait_for(leads, "a relay to lead")
        return self.relays[int(found[0].rpartition("-")[2])]

    def repair(self) -> None:
        """Start the processes that have ended, as a supervisor does."""
        for program in self.programs:
            if not program.pids():
                program.start()

    def canary(self) -> Sent:
        """Post one action that the checker must find as a row and as a message."""
        canary = Sent(str(uuid.uuid4()), 999, "9.99")
        while canary.verdict != "acked":
            canary.attempts.append(attempt(self.web, canary.body()))
            assert len(canary.attempts) < 50, canary.attempts[-1]
        self.known.add(canary.event_id)
        return canary

    def wait_for_delivery(self, seconds: float = DRAIN_SECONDS) -> float:
        """Wait until Kafka has all actions that are committed now, also while the database is down.

        Actions that are stored later are not waited for. Returns the seconds that it took.
        """
        begun = time.monotonic()
        marks: list[int] = []

        def delivered() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.stack.database_url) as database:
                if not marks:
                    marks.extend(database.execute(FURTHEST).fetchone() or ())
                return database.execute(BEHIND, marks).fetchone() == (0,)
            return False

        wait_for(delivered, "the outbox to drain", seconds)
        return time.monotonic() - begun

    def waiting(self) -> int:
        """The number of messages that wait in the outbox."""
        with psycopg.connect(self.stack.database_url) as database:
            return len(database.execute("SELECT FROM outbox WHERE quarantined_at IS NULL").fetchall())

    def reconcile(self, traffic: Traffic) -> Account:
        """The account of the traffic, after all messages are delivered and the checker is verified."""
        canary = self.canary()
        self.wait_for_delivery()
        rows = read_rows(self.stack.database_url)
        messages = read_messages(read_topic(self.kafka.address, TOPIC, at_least=1))
        sent = (action for past in self.traffics for action in past.sent)
        known = self.known | {action.event_id for action in sent if action.verdict != "refused"}
        verify_checker(canary, rows, messages)
        return account(traffic.sent, rows, messages, known)
