"""Tests of the servers that the fault tests use: stop, kill, freeze and restart do what their names say."""

import contextlib
import select
from collections.abc import Iterator

import psycopg
import pytest
import redis
from confluent_kafka import Consumer, Producer

from tests.support.os_processes import is_alive
from tests.support.programs import Missing
from tests.support.servers import Kafka, Postgres, Redis, need

pytestmark = pytest.mark.stack  # without Django: one database is enough


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with need(Postgres) as postgres:
        yield postgres


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    with need(Kafka) as kafka:
        yield kafka


def test_postgresql_keeps_committed_rows_over_a_kill_of_all_its_processes(postgres: Postgres) -> None:
    url = postgres.create_database("kept")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    pids = postgres.pids()
    postgres.kill()
    assert len(pids) > 1 and not any(map(is_alive, pids))
    postgres.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchall() == [(1,)]


def test_postgresql_is_as_durable_as_in_production_unless_told_otherwise(postgres: Postgres) -> None:
    with psycopg.connect(postgres.url) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert connection.execute(f"SHOW {setting}").fetchone() == ("on",)


def test_settings_reach_postgresql() -> None:
    quick = {"fsync": "off", "max_connections": "10"}
    with need(lambda: Postgres(quick)) as postgres, psycopg.connect(postgres.url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("off",)
        assert connection.execute("SHOW max_connections").fetchone() == ("10",)


def test_a_frozen_postgresql_keeps_its_connections_open_and_never_answers(postgres: Postgres) -> None:
    with contextlib.closing(psycopg.connect(postgres.url)) as connection:
        postgres.freeze()
        connection.pgconn.send_query(b"SELECT 1")
        assert not is_readable(connection, seconds=1)
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(postgres.url, connect_timeout=2)
        postgres.thaw()
        assert is_readable(connection, seconds=30)


def is_readable(connection: psycopg.Connection, seconds: float) -> bool:
    return bool(select.select([connection.fileno()], [], [], seconds)[0])


def test_redis_keeps_its_keys_over_a_stop_and_a_kill() -> None:
    with need(Redis) as server:
        for end in (server.stop, server.kill):
            with redis.Redis(port=server.port) as client:
                client.incr("kept")
            end()
            server.start()
        with redis.Redis(port=server.port) as client:
            assert client.get("kept") == b"2"


def test_a_redis_without_persistence_comes_back_empty() -> None:
    with need(lambda: Redis({"appendonly": "no"})) as server, redis.Redis(port=server.port) as client:
        client.set("lost", 1)
        server.kill()
        server.start()
        assert client.dbsize() == 0


@pytest.mark.long
def test_kafka_keeps_messages_over_a_stop_and_a_kill(kafka: Kafka) -> None:
    for end, value in ((kafka.stop, b"before the stop"), (kafka.kill, b"before the kill")):
        producer = Producer({"bootstrap.servers": kafka.address, "acks": "all"})
        producer.produce("kept", value, key=b"1")
        assert producer.flush(30) == 0
        end()
        kafka.start()
    assert read(kafka.address, "kept", 2) == [b"before the stop", b"before the kill"]


def read(broker: str, topic: str, count: int) -> list[bytes | None]:
    settings = {"bootstrap.servers": broker, "group.id": "test", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    messages = consumer.consume(count, timeout=120)
    consumer.close()
    return [message.value() for message in messages]


def test_a_closed_service_leaves_no_processes_and_no_files() -> None:
    with need(Redis) as server:
        pids = server.pids()
    assert pids and not any(map(is_alive, pids)) and not server.folder.exists()


def test_a_server_that_cannot_start_shows_the_end_of_its_log() -> None:
    with pytest.raises(RuntimeError, match="much"), need(lambda: Redis({"maxmemory": "much"})):
        pass


def test_a_missing_program_skips_or_fails_the_test_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def start() -> None:
        raise Missing("the program is not installed")

    monkeypatch.delenv("REQUIRE_REAL_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="not installed"):
        need(start)
    monkeypatch.setenv("REQUIRE_REAL_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="not installed"):
        need(start)
