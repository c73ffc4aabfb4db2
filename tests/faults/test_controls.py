"""Negative controls: the accounting must detect systems that lose, invent, duplicate or reorder actions."""

import os
import signal
import socket
import time
from contextlib import ExitStack

import psycopg
import pytest

from tests.faults.accounting import Account, account, read_messages, read_rows, verify_checker
from tests.faults.figures import PROPERTY, Recorder, figure
from tests.faults.test_databases import recovered, start_again
from tests.faults.traffic import Sent, Traffic, attempt
from tests.faults.world import TOPIC, World
from tests.support.kafka_mock import MockCluster
from tests.support.kafka_topics import read_topic
from tests.support.manage_process import Running, start
from tests.support.os_processes import free_port, send, wait_for
from tests.support.servers import Postgres, need

pytestmark = [pytest.mark.stack, pytest.mark.long]
WAL_WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
RELAY_WITHOUT_ELECTION = """
import os
from actions.kafka import config
from actions.relay.relay import Relay
config.TRANSACTIONS["transactional.id"] = f"relay-{os.getpid()}"  # else Kafka would fence one of them
relay = Relay()
relay.lead.lock.hold = lambda: True
relay.run()
"""


def record_control(record: Recorder, control: str, found: Account) -> None:
    """Record the figures of a control."""
    record(PROPERTY, figure(f"control: {control}", found, None, "red, as it must be"))


def test_producing_in_the_view_is_detected(fresh_database: str, seed: int, record_property: Recorder) -> None:
    with MockCluster() as cluster:
        cluster.create_topic(TOPIC)
        port = free_port()
        environment = {"DATABASE_URL": fresh_database, "KAFKA_BROKER": cluster.address, "PORT": str(port)}
        address = f"127.0.0.1:{port}"
        with Running(["-m", "tests.faults.naive"], os.environ | environment) as server:
            wait_for(lambda: answers(port), "the naive server")
            canary = Sent("7f1fbd47-4c1c-4b52-a5c2-0b1a1f1c8a55", 999, "9.99")
            canary.attempts.append(attempt(address, canary.body()))
            with Traffic(address, seed=seed) as traffic:
                time.sleep(1)
                cluster.down()
                time.sleep(2)
            server.kill()
        cluster.up()
        rows, messages = read_rows(fresh_database), read_messages(read_topic(cluster.address, TOPIC))
    verify_checker(canary, rows, messages)
    found = account(traffic.sent, rows, messages, [canary.event_id])
    record_control(record_property, "producing in the view, Kafka down, then killed", found)
    assert found.missing_rows == 0
    assert found.missing_messages > 0


def test_an_asynchronous_commit_is_detected(seed: int, record_property: Recorder) -> None:
    with ExitStack() as things:
        postgres = things.enter_context(need(lambda: Postgres({"synchronous_commit": "off"})))
        cluster = things.enter_context(MockCluster())
        cluster.create_topic(TOPIC)
        world = things.enter_context(World(postgres, cluster, relays=1))
        with world.traffic(seed) as traffic:
            with psycopg.connect(postgres.url) as database:
                (writer,) = database.execute(WAL_WRITER).fetchone() or ()
            send(signal.SIGSTOP, [writer])  # so that the WAL is not written
            time.sleep(1)
            postgres.kill()
            start_again(postgres)
            recovered(world, traffic, time.monotonic())
        found = world.reconcile(traffic)
    record_control(record_property, "synchronous_commit=off, PostgreSQL killed", found)
    assert found.missing_rows > 0


def test_two_relays_without_an_election_are_detected(failing: World, seed: int, record_property: Recorder) -> None:
    failing.relays.pop().kill()
    with ExitStack() as things:
        for _ in range(2):
            things.enter_context(start(failing.stack, "shell", "-v0", "-c", RELAY_WITHOUT_ELECTION))
        with failing.traffic(seed, rate=300) as traffic:
            failing.wait_for_delivery()
            time.sleep(5)
        found = failing.reconcile(traffic)
    record_control(record_property, "two relays without a lead", found)
    assert found.duplicates > 0


def answers(port: int) -> bool:
    """Whether a server listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
