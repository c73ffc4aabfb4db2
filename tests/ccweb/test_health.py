"""/healthz and /readyz."""

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from ccweb import health
from ccweb.redis.circuit_breaker import REDIS
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Redis


@pytest.fixture
def redis_away(settings: Settings) -> Iterator[None]:
    """No server listens at the address of Redis."""
    options = settings.CACHES["default"]
    settings.CACHES = {"default": options | {"LOCATION": f"redis://{CLOSED}/0"}}
    yield
    REDIS.reset()


def test_liveness_asks_no_dependency(redis_away: None) -> None:
    answer = Client().get("/healthz")  # without the django_db mark a query would fail this test
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
@pytest.mark.stack
def test_with_all_parts_the_process_is_ready(kafka_broker: str) -> None:
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("status") == "ok"
    assert {part: found["status"] for part, found in body.items()} == {"database": "ok", "redis": "ok", "kafka": "ok"}


@pytest.mark.django_db
def test_without_kafka_the_process_is_degraded_and_ready() -> None:
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    kafka = answer.json()["kafka"] | {"ms": 0}
    named = {"error": "NoBrokerAnswers", "detail": "no Kafka broker answers"}  # and no host
    assert kafka == {"status": "away", "ms": 0} | named


@pytest.mark.django_db
def test_without_redis_the_process_is_degraded_and_ready(redis_away: None) -> None:
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert (answer.json()["redis"]["status"], answer.json()["redis"]["error"]) == ("away", "ConnectionError")


@pytest.mark.django_db
def test_a_frozen_redis_is_given_up(redis_server: Redis, settings: Settings) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": redis_server.url}}
    assert Client().get("/readyz").json()["redis"]["status"] == "ok"
    redis_server.freeze()
    assert Client().get("/readyz").json()["redis"] | {"ms": 0} == {"status": "away", "error": "TimeoutError", "ms": 0}


@pytest.mark.django_db
def test_readiness_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1, connection=connection):
        Client().get("/readyz")


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/actions/", "/api/nothing"])
def test_what_is_no_route_of_the_api_is_404_as_json(client: Client, path: str) -> None:
    answer = client.post(path, b"{}", content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_the_root_leads_to_the_staff(client: Client) -> None:
    assert client.get("/")["Location"] == "/admin/"


@pytest.mark.django_db
def test_a_process_is_not_ready_before_the_migrations_of_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MIGRATIONS", health.Migrations())
    MigrationRecorder.Migration.objects.filter(app="segments", name="0001_user_segments").delete()
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["database"]["pending"] == ["segments.0001_user_segments"]
    assert "manage.py migrate" in answer.json()["database"]["hint"]
    MigrationRecorder.Migration.objects.create(app="segments", name="0001_user_segments")
    MigrationRecorder.Migration.objects.create(app="segments", name="0999_of_a_newer_release")
    assert Client().get("/readyz").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_do_not_look_at_the_host(path: str) -> None:
    assert Client().get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200
