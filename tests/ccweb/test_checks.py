"""manage.py check: the errors it finds, and none in a correct deployment."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
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


@pytest.mark.django_db  # with the settings of either database
def test_a_production_environment_has_no_warnings() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def pooler(port: int) -> Iterator[int]:
    """A port that leads to PostgreSQL but greets, as PgBouncer does, with a process id of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                client.sendall(server_says_no_tls(client, server))
                threading.Thread(target=carry, args=(client, server), daemon=True).start()
                carry(server, client, lambda data: GREETING.sub(lambda m: m[1] + b"\0\0\0\7", data))

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


GREETING = re.compile(rb"(K\0\0\0\x0c).{4}", re.DOTALL)  # BackendKeyData: the process id comes first


def server_says_no_tls(client: socket.socket, server: socket.socket) -> bytes:
    server.sendall(client.recv(1000))
    return server.recv(1000)


def carry(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes] = lambda data: data) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(change(data))


def warnings_of(url: str) -> set[str]:
    done = manage("check", "--database", "default", DATABASE_URL=url, **PRODUCTION)
    return set(re.findall(r"ccweb\.[WE][0-9]{3}", done.stderr))


def test_a_server_that_loses_what_it_acknowledged_is_found() -> None:
    with need(lambda: Postgres({"fsync": "off", "synchronous_commit": "off"})) as careless:
        assert warnings_of(careless.url) == {"ccweb.W001", "ccweb.W002"}


def test_a_pooler_in_front_of_the_server_is_found() -> None:
    with need(Postgres) as server:
        assert warnings_of(server.url) == set()
        with pooler(server.port) as port:
            assert warnings_of(f"postgres://postgres@127.0.0.1:{port}/postgres") == {"ccweb.W003"}


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
