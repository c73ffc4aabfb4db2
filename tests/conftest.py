"""Fixtures that every test may ask for; the servers behind them are those of tests/support/pytest_plugin.py."""

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis
import time_machine
from django.conf import settings as django_settings
from django.db import connection as django_connection
from django.test import override_settings
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import Settings

from ccweb.redis import circuit_breaker
from segments.recommendations.recommend import ACTIVE_POLICY
from segments.streaks.update import PENDING_REPAIRS
from tests.support import secret_scanner
from tests.support.deployment import Stack
from tests.support.kafka_topics import empty_broker
from tests.support.programs import Missing, locked
from tests.support.pytest_plugin import CLOSED, POSTGRES_URL, shared
from tests.support.servers import Redis, create_database, need

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")

# Without Hypothesis' clocks: on a busy machine an example, and making one, takes as long as it takes.
hypothesis_settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
hypothesis_settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def database_of_this_run(pytestconfig: pytest.Config) -> None:
    """Skips everything when PostgreSQL was asked for and is missing."""
    if pytestconfig.getoption("database") == "postgresql":
        need(lambda: shared("postgresql"))


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Argon2 takes long over a password by intention, and most tests only want somebody to be signed in."""
    cheap = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[cheap, *django_settings.PASSWORD_HASHERS]):
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_on_demand() -> Iterator[None]:
    """Else each test client, of which there are thousands, begins by reading the list of all static files."""
    with override_settings(WHITENOISE_AUTOREFRESH=True):
        yield


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
    circuit_breaker.REDIS.reset()  # as in a new process
    PENDING_REPAIRS.clear()
    ACTIVE_POLICY.clear()


@pytest.fixture(autouse=True)
def no_secret_is_logged() -> Iterator[None]:
    """In every test; tests/support/deployment.py searches the logs of its processes."""
    with secret_scanner.watched():
        yield


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
    """The address of a real Apache Kafka, without topics; settings.KAFKA_BROKER names it in this test.

    It is this worker's own: the topic's name is fixed, and a neighbour's messages would look like ours.
    """
    broker = need(lambda: shared(f"kafka-{WORKER}"))
    empty_broker(broker)
    settings.KAFKA_BROKER = broker
    return broker


@pytest.fixture
def topic() -> str:
    """A topic name that no other test uses."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """The URL of the run's PostgreSQL, which is there with --database sqlite too when a test asks."""
    return POSTGRES_URL.format(need(lambda: shared("postgresql")))


@pytest.fixture(scope="session")
def migrated_database(postgresql_server: str) -> str:
    """The name of a migrated PostgreSQL database, to be copied; the first worker that asks makes it for the run."""
    folder, name = Path(os.environ["CCWEB_TEST_SERVICES"]), "migrated"
    with locked(folder / f"{name}.lock"):
        if not (folder / name).exists():
            url = create_database(postgresql_server, name)
            Stack(database_url=url, redis_url=os.environ["REDIS_URL"], kafka_broker=CLOSED).manage("migrate")
            (folder / name).touch()
    return name


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None, request: pytest.FixtureRequest) -> None:
    """Django's test database begins as a copy too, with nothing left to migrate."""
    if request.config.getoption("database") == "postgresql":
        django_connection.settings_dict["TEST"]["TEMPLATE"] = request.getfixturevalue("migrated_database")


@pytest.fixture
def fresh_database(postgresql_server: str, migrated_database: str) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database of this test alone."""
    name = f"test_{uuid.uuid4().hex}"
    yield create_database(postgresql_server, name, migrated_database)
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def live_stack(fresh_database: str, redis_client: redis.Redis, kafka_broker: str) -> Iterator[Stack]:
    """The web process of the Procfile with its relay thread, on empty PostgreSQL, Redis and Apache Kafka."""
    redis_url = os.environ["REDIS_URL"]
    with Stack(database_url=fresh_database, redis_url=redis_url, kafka_broker=kafka_broker) as stack:
        stack.web.start()
        yield stack


@pytest.fixture
def fixed_clock() -> Iterator[None]:
    """It is now during the whole test: else a window of a limit may end in the midst of what is being counted."""
    with time_machine.travel(datetime.now(UTC), tick=False):
        yield
