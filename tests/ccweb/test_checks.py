"""manage.py check: the errors it finds, and none in a correct deployment."""

import os
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from pytest_django import Settings
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from ccweb import env
from tests.support.pgbouncer import PgBouncer
from tests.support.servers import Postgres, need

ROOT = Path(__file__).parents[2]
STRONG = "a-key-of-more-than-fifty-characters-which-nobody-guesses-0123456789"
PRODUCTION = {"DEBUG": "0", "SECRET_KEY": STRONG, "ALLOWED_HOSTS": "api.example.com", "CCWEB_IGNORE_LOCAL": "1"}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DATABASE_URL", "REDIS_URL") if name in os.environ}
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=kept | variables, capture_output=True, text=True, timeout=120)


def found(*tags: str, deploy: bool = True, **more: Any) -> set[str | None]:
    messages = checks.run_checks(tags=tags, include_deployment_checks=deploy, **more)
    return {message.id for message in messages if str(message.id).startswith("ccweb.")}


class Undeclared(APIView):
    scopes = {"GET": "actions:read"}

    def get(self, request: HttpRequest) -> HttpResponse: ...
    def post(self, request: HttpRequest) -> HttpResponse: ...


class Careless(APIView):
    permission_classes = [AllowAny]
    authentication_classes = [SessionAuthentication]

    def get(self, request: HttpRequest) -> HttpResponse: ...


def page(request: HttpRequest) -> HttpResponse: ...


class Urls:
    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = [path("api/", include([*patterns])), path("healthz", page, name="healthz")]


def test_a_route_that_declares_no_scope_is_an_error(settings: Settings) -> None:
    settings.ROOT_URLCONF = Urls(path("new", Undeclared.as_view()))
    messages = checks.run_checks(tags=["security"])
    assert [message.msg for message in messages] == ["POST /api/new declares no scope."]
    assert "scopes" in str(messages[0].hint)


def test_a_route_with_permissions_and_sessions_of_its_own_is_an_error(settings: Settings) -> None:
    settings.ROOT_URLCONF = Urls(path("new", Careless.as_view()))
    assert {"ccweb.E002", "ccweb.E008"} <= found("security")


def test_a_public_page_is_an_error(settings: Settings) -> None:
    settings.ROOT_URLCONF = Urls()
    assert found("security", deploy=False) == set()
    settings.ROOT_URLCONF.urlpatterns.append(path("debug", page))
    assert found("security", deploy=False) == {"ccweb.E003"}


def test_debug_is_an_error_in_a_deployment(settings: Settings) -> None:
    settings.DEBUG = True
    assert "ccweb.E004" in found("security")


def test_an_open_api_outside_debug_is_an_error(settings: Settings) -> None:
    settings.DEBUG, settings.API_IS_OPEN = False, True
    assert "ccweb.E005" in found("security")


def test_a_weak_secret_key_is_an_error_also_as_a_fallback(settings: Settings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = STRONG, []
    assert "ccweb.E006" not in found("security")
    settings.SECRET_KEY_FALLBACKS = ["short"]
    assert "ccweb.E006" in found("security")


def test_limits_in_a_process_s_own_memory_are_an_error(settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert "ccweb.E007" in found("security")


NETWORKS = [
    (["10.0.0.0/8", "172.16.0.0/12", "192.0.2.7", "fc00::/7", "2001:db8::/32", "::1"], False),
    (["0.0.0.0/0"], True),
    (["::/0"], True),
    (["10.0.0.1", "0.0.0.0/1", "128.0.0.0/1"], True),
    (["2000::/3"], True),
]


@pytest.mark.parametrize(("networks", "wide"), NETWORKS)
@pytest.mark.parametrize(("name", "number"), [("TRUSTED_PROXIES", "W011"), ("METRICS_ALLOWED", "W012")])
def test_networks_that_hold_everybody_are_found(
    name: str, number: str, networks: list[str], wide: bool, settings: Settings
) -> None:
    setattr(settings, name, [ip_network(network) for network in networks])
    assert (f"ccweb.{number}" in found("security")) is wide


@pytest.mark.parametrize(("hosts", "any_host"), [(["api.example.com"], False), (["api.example.com", "*"], True)])
def test_allowing_every_host_is_found(hosts: list[str], any_host: bool, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = hosts
    assert ("ccweb.W010" in found("security")) is any_host


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("redis://redis.internal:6379/0", True),
        ("redis://:password@10.0.0.5:6379/0", True),
        ("rediss://redis.internal:6379/0", False),
        ("redis://localhost:6379/0", False),
        ("redis://127.0.0.1:6379/0", False),
        ("redis://[::1]:6379/0", False),
        ("unix:///run/redis.sock", False),
    ],
)
def test_redis_across_a_network_without_tls_is_found(url: str, plain: bool, settings: Settings) -> None:
    settings.REDIS_URL = url
    assert ("ccweb.W013" in found("security")) is plain


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("postgres://u:p@db.internal:5432/ccweb", True),
        ("postgres://u:p@localhost,db.internal/ccweb", True),
        ("postgres://u:p@db.internal/ccweb?sslmode=prefer", True),
        ("postgres://u:p@db.internal/ccweb?sslmode=require", False),
        ("postgres://u:p@db.internal/ccweb?sslmode=verify-full", False),
        ("postgres://u:p@127.0.0.1/ccweb", False),
        ("postgres://u:p@[::1]/ccweb", False),
        ("sqlite:////srv/ccweb.sqlite3", False),
    ],
)
def test_postgresql_across_a_network_without_tls_is_found(
    url: str, plain: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setitem(settings.DATABASES, "default", env.database("DATABASE_URL", ""))
    assert ("ccweb.W014" in found("security")) is plain


@pytest.mark.django_db  # with the settings of either database
def test_a_production_environment_has_no_warnings() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def warnings_of(url: str, **variables: str) -> set[str]:
    done = manage("check", "--database", "default", DATABASE_URL=url, **PRODUCTION | variables)
    return set(re.findall(r"ccweb\.[WE][0-9]{3}", done.stderr))


def test_a_server_that_loses_what_it_acknowledged_is_found() -> None:
    with need(lambda: Postgres({"fsync": "off", "synchronous_commit": "off"})) as careless:
        assert warnings_of(careless.url) == {"ccweb.W001", "ccweb.W002"}


def test_a_pooler_is_found_where_none_is_expected_and_so_are_requests_without_timeouts_behind_one() -> None:
    with need(Postgres) as server, need(lambda: PgBouncer(server.port)) as pooler:
        url, direct = pooler.url("postgres"), {"DATABASE_DIRECT_URL": server.url}
        assert warnings_of(server.url) == set()
        assert warnings_of(url) == {"ccweb.W003"}
        assert warnings_of(url, **direct) == {"ccweb.W003"}
        assert warnings_of(url, **direct, DATABASE_POOLED="1") == set()
        assert warnings_of(url, DATABASE_DIRECT_URL=url, DATABASE_POOLED="1") == {"ccweb.W003"}
        without_timeouts = server.url.replace("127.0.0.1", "localhost")
        assert warnings_of(without_timeouts, **direct, DATABASE_POOLED="1") == {"ccweb.W004"}


@pytest.mark.parametrize("url", ["", "sqlite:///elsewhere.sqlite3"])
def test_a_pooler_without_a_way_around_it_stops_the_start_with_one_line(url: str) -> None:
    pooled = {"DATABASE_POOLED": "1", "DATABASE_URL": "postgres://u:secret@pooler/db", "DATABASE_DIRECT_URL": url}
    done = manage("check", **PRODUCTION | pooled)
    assert done.returncode == 1
    assert done.stderr.startswith("ccweb: environment variable DATABASE_DIRECT_URL must lead to the database of ")
    assert (done.stderr.count("\n"), "secret" in done.stderr) == (1, False)


def test_a_missing_secret_key_stops_the_start_with_one_line() -> None:
    done = manage("check", **PRODUCTION | {"SECRET_KEY": ""})
    assert done.returncode == 1
    assert done.stderr == "ccweb: environment variable SECRET_KEY is missing: with DEBUG off it must be set\n"


def test_settings_of_kafka_that_can_never_work_stop_the_start_with_one_line() -> None:
    done = manage("check", **PRODUCTION | {"KAFKA_SASL_PASSWORD": "s3cret"})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("ccweb: a login is set (KAFKA_SASL_...), but KAFKA_SECURITY_PROTOCOL is PLAINTEXT")
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "maybe"),
        ("ALLOWED_HOSTS", "https://api.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("METRICS_ALLOWED", "prometheus.internal"),
        ("THROTTLE_KEY", "600"),
        ("THROTTLE_ADDRESS", "0/min"),
        ("DATABASE_URL", "mysql://localhost/ccweb"),
        ("REDIS_URL", "localhost:6379"),
        ("KAFKA_BROKER", "localhost"),
        ("KAFKA_TOPIC_PREFIX", "two words"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KAFKA_SSL_KEY", "/no/such/key.pem"),
        ("KAFKA_OPTIONS", "s3cret"),
        ("RELAY_IN_WEB", "two"),
        ("MAX_ACTION_AGE_DAYS", "-1"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_a_malformed_variable_stops_the_start_with_one_line_that_does_not_repeat_it(name: str, value: str) -> None:
    done = manage("check", **PRODUCTION | {name: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"ccweb: environment variable {name} is malformed: expected ")
    assert done.stderr.count("\n") == 1
    assert value not in done.stderr.removesuffix("a rate such as 600/min\n")
