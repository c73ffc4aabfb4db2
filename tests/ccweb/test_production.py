"""The web process with DEBUG off, from the outside: keys, HTTPS, headers, limits over all workers."""

import os
import re
import socket
import subprocess
from base64 import b32decode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

import pytest
from django_otp.oath import totp

from tests.support.deployment import ROOT, Answer, Stack
from tests.support.os_processes import wait_for_a_minute_with

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("production")]
STRONG = "a-key-of-more-than-fifty-characters-which-nobody-guesses-0123456789"
TLS = {"X-Forwarded-Proto": "https"}
MOST = 150
PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, redis_of_this_worker: object) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("production")
    with Stack(
        database_url=f"sqlite:///{folder}/db.sqlite3",
        redis_url=os.environ["REDIS_URL"],
        kafka_broker="127.0.0.1:9",
        DEBUG="0",
        SECRET_KEY=STRONG,
        ALLOWED_HOSTS="127.0.0.1",
        RELAY_IN_WEB="0",
        THROTTLE_ADDRESS=f"{MOST}/min",
    ) as stack:
        stack.manage("migrate")
        stack.web.start()
        yield stack


@pytest.fixture(scope="module")
def key(production: Stack) -> dict[str, str]:
    made = production.manage("create_api_key", "test", "--scope", "actions:write", "actions:read")
    return {"Authorization": f"Api-Key {made.stdout.strip()}"}


def get(production: Stack, path: str, *headers: dict[str, str], client: str = "203.0.113.1") -> Answer:
    sent = {"X-Forwarded-For": client}
    for more in headers:
        sent |= more
    return production.call("GET", path, headers=sent)


def test_a_key_lets_in_and_no_key_does_not(production: Stack, key: dict[str, str]) -> None:
    assert get(production, "/api/actions", TLS, key).status == 200
    refused = get(production, "/api/actions", TLS)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == "Api-Key"
    assert refused.headers["Content-Type"] == "application/problem+json"
    stored = production.call("POST", "/api/actions", {"user_id": 1, "action_type": "login"}, TLS | key)
    assert stored.status == 201


def test_plain_http_is_sent_to_https_but_probes_and_metrics_are_answered(production: Stack) -> None:
    moved = get(production, "/admin/")
    assert moved.status == 301
    assert moved.headers["Location"] == f"https://{production.web.address}/admin/"
    refused = get(production, "/api/actions")
    assert (refused.status, refused.headers["Content-Type"]) == (403, "application/problem+json")
    for path in ("/healthz", "/readyz", "/metrics"):
        assert production.call("GET", path).status == 200
    assert get(production, "/metrics").status in (403, 404)


def test_the_health_check_of_the_image_succeeds(production: Stack) -> None:
    command = (ROOT / "Dockerfile").read_text().partition("HEALTHCHECK")[2].partition("CMD ")[2].partition("\nCMD")[0]
    port = production.web.address.rpartition(":")[2]
    done = subprocess.run(["/bin/sh", "-c", command], env=production.environment | {"PORT": port}, timeout=30)
    assert done.returncode == 0
    stopped = subprocess.run(["/bin/sh", "-c", command], env=production.environment | {"PORT": "9"}, timeout=30)
    assert stopped.returncode != 0


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_probe_by_address_is_answered(production: Stack, path: str) -> None:
    host, _, port = production.web.address.partition(":")
    for head in (f"GET {path} HTTP/1.1\r\nHost: 10.1.2.3:8000\r\nConnection: close", f"GET {path} HTTP/1.0"):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(f"{head}\r\n\r\n".encode())
            assert connection.makefile("rb").readline().split()[1] == b"200", head


def test_every_answer_is_guarded_by_headers(production: Stack, key: dict[str, str]) -> None:
    api, page = get(production, "/api/actions", TLS, key), get(production, "/admin/login/", TLS)
    for answer in (api, page):
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert api.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    cookie = page.headers["Set-Cookie"]
    assert cookie.startswith("__Host-csrf=")
    assert {"Secure", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


@pytest.mark.parametrize("path", ["/admin/login/", "/api/docs"])
def test_pages_have_no_inline_script_or_style(production: Stack, key: dict[str, str], path: str) -> None:
    html = get(production, path, TLS, key).body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>", html)
    assert "<style" not in html
    assert not re.search(r"\s(on\w+|style)=", html)
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', html):
        assert get(production, address, TLS).status == 200, address


def test_the_first_sign_in_of_the_first_user_asks_for_a_second_factor(production: Stack) -> None:
    production.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    production.manage("createsuperuser", "--noinput", "--username", "boss", "--email", "boss@example.com")
    login, cookies = "/admin/login/?next=/admin/", {}

    def step(method: str, path: str, **fields: str) -> Answer:
        headers = TLS | {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
            "Referer": f"https://{production.web.address}{path}",
        }
        token = {"csrfmiddlewaretoken": cookies["__Host-csrf"]} if fields else {}
        answer = production.call(method, path, urlencode(fields | token).encode() if fields else None, headers)
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            cookies[name] = value
        return answer

    step("GET", login)
    page = step("POST", login, username="boss", password=PASSWORD)
    visited = []
    while page.status == 302:
        visited.append(urlsplit(page.headers["Location"]).path)
        page = step("GET", page.headers["Location"])
    assert visited == ["/admin/", "/admin/login/", "/admin/second-factor/", "/admin/second-factor/set-up/"]
    assert page.status == 200
    secret = re.search('id="secret">(.+?)<', page.body.decode())[1].replace(" ", "")
    done = step("POST", visited[-1], code=f"{totp(b32decode(secret)):06}")
    assert b"Recovery codes" in done.body
    assert step("GET", "/admin/").status == 200


@pytest.mark.long  # a stress test; test_batched_requests.py and test_rate_limits.py ask the same every day
def test_exactly_the_limit_passes_over_all_workers(production: Stack) -> None:
    wait_for_a_minute_with(seconds=30)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: get(production, "/api/actions", TLS, client="198.51.100.1"), range(600)))
    assert Counter(answer.status for answer in answers) == {401: MOST, 429: 600 - MOST}
    assert {answer.headers["Retry-After"] is None for answer in answers if answer.status == 429} == {False}
    assert get(production, "/api/actions", TLS, client="198.51.100.2").status == 401
