"""Fixtures that every test may ask for; the servers behind them are those of tests/plugin.py."""

import os
import uuid
from collections.abc import Iterator

import pytest
import redis
from pytest_django import Settings

from tests.parts import Missing
from tests.plugin import shared
from tests.services import Redis, need


@pytest.fixture(scope="session", autouse=True)
def database_of_this_run(pytestconfig: pytest.Config) -> None:
    """Skips everything when PostgreSQL was asked for and is missing."""
    if pytestconfig.getoption("database") == "postgresql":
        need(lambda: shared("postgresql"))


@pytest.fixture(scope="session")
def redis_of_this_worker() -> Iterator[redis.Redis | None]:
    try:
        shared("redis")
    except Missing:
        yield None
    else:
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            yield client


@pytest.fixture(autouse=True)
def empty_redis(redis_of_this_worker: redis.Redis | None) -> None:
    """Every test begins with an empty Redis: no streak, throttle count or cached value of another test."""
    if redis_of_this_worker is not None:
        redis_of_this_worker.flushdb()


@pytest.fixture
def redis_client(redis_of_this_worker: redis.Redis | None, empty_redis: None) -> redis.Redis:
    """A raw client of the Redis database that the code under test uses, empty at the start of the test."""
    need(lambda: shared("redis"))
    assert redis_of_this_worker is not None
    return redis_of_this_worker


@pytest.fixture
def redis_server(settings: Settings) -> Iterator[Redis]:
    """A Redis of this test alone, to be stopped, killed or frozen."""
    with need(Redis) as server:
        yield server


@pytest.fixture
def kafka_broker(settings: Settings) -> str:
    """The address of a real Apache Kafka, shared by the run; settings.KAFKA_BROKER names it in this test."""
    settings.KAFKA_BROKER = need(lambda: shared("kafka"))
    return settings.KAFKA_BROKER


@pytest.fixture
def topic() -> str:
    """A topic name that no other test uses."""
    return f"test-{uuid.uuid4().hex}"
