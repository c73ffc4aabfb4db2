"""A pytest run uses its own servers, none of a developer and none of a concurrent run."""

import os
import re

import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from django.core.cache import cache
from django.db import connection
from pytest_django import Settings

from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Redis


def test_kafka_is_unreachable_without_its_fixture(settings: Settings) -> None:
    assert settings.KAFKA_BROKER == CLOSED


@pytest.mark.django_db
def test_django_runs_on_the_database_that_was_asked_for(pytestconfig: pytest.Config) -> None:
    assert connection.vendor == pytestconfig.getoption("database")


def test_the_cache_and_the_client_share_the_redis_database_of_this_worker(
    settings: Settings, redis_client: redis.Redis
) -> None:
    cache.set("seen", 1)
    assert redis_client.dbsize() == 1
    worker = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    assert settings.REDIS_URL.partition("?")[0].endswith(f"/{worker}")


def test_every_test_begins_with_an_empty_redis(redis_client: redis.Redis) -> None:
    assert redis_client.dbsize() == 0


def test_the_redis_server_of_a_single_test_can_be_killed(redis_server: Redis, redis_client: redis.Redis) -> None:
    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(redis_server.url).ping()
    assert redis_client.ping()


@pytest.mark.stack
def test_kafka_starts_on_request_and_accepts_messages(kafka_broker: str, topic: str, settings: Settings) -> None:
    assert kafka_broker == settings.KAFKA_BROKER
    producer = Producer({"bootstrap.servers": kafka_broker})
    producer.produce(topic, b"hello")
    assert producer.flush(120) == 0
    assert topic in AdminClient({"bootstrap.servers": kafka_broker}).list_topics(timeout=60).topics
