"""Web processes behind the nginx of deploy/nginx.conf: TLS, what is public, Unix sockets, restarts without a loss."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.deployment import Stack, call
from tests.support.nginx import Nginx
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import need

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("proxy")]
ACTION = {"user_id": 7, "action_type": "login"}
PRODUCTION = {
    "DEBUG": "0",
    "SECRET_KEY": "a-key-of-more-than-fifty-characters-which-nobody-guesses-0123456789",
    "ALLOWED_HOSTS": "127.0.0.1",
    "RELAY_IN_WEB": "0",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process in production, on a Unix socket that only its user and group may use."""
    folder = tmp_path_factory.mktemp("proxied")
    socket = {"GRANIAN_UDS": f"{folder}/web.sock", "GRANIAN_UDS_PERMISSIONS": "0o660"}
    database = f"sqlite:///{folder}/db.sqlite3"
    variables = PRODUCTION | socket
    with Stack(database_url=database, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED, **variables) as it:
        it.manage("migrate")
        it.web.start()
        yield it


@pytest.fixture(scope="module")
def https(web: Stack) -> Iterator[Nginx]:
    with need(lambda: Nginx(web.web.address, tls=True)) as nginx:
        yield nginx


def stored(web: Stack) -> int:
    """The number of stored actions."""
    code = "from actions.models import UserAction; print(UserAction.objects.count())"
    return int(web.manage("shell", "-c", code).stdout.split()[-1])


@pytest.fixture(scope="module")
def key(web: Stack) -> dict[str, str]:
    made = web.manage("create_api_key", "test", "--scope", "actions:write", "actions:read")
    return {"Authorization": f"Api-Key {made.stdout.strip()}"}


def test_an_action_is_stored_over_a_unix_socket(https: Nginx, key: dict[str, str]) -> None:
    assert call(https.address, "POST", "/api/actions", ACTION, key).status == 201


def test_the_client_s_address_is_the_one_that_nginx_names(web: Stack, https: Nginx) -> None:
    """The peer of a Unix socket counts as loopback, so that the proxy is believed."""
    assert call(web.web.address, "GET", "/metrics").status == 200
    assert call(web.web.address, "GET", "/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status == 404
    assert Path(web.web.address.removeprefix("unix:")).stat().st_mode & 0o777 == 0o660


def test_an_action_sent_to_http_is_refused_and_not_redirected(web: Stack, key: dict[str, str]) -> None:
    """A client that follows a redirect sends its POST as a GET, gets 200 and believes that the action is stored."""
    with need(lambda: Nginx(web.web.address)) as http:
        before = stored(web)
        refused = call(http.address, "POST", "/api/actions", ACTION, key)
        assert (refused.status, refused.headers["Content-Type"]) == (403, "application/problem+json")
        assert "HTTPS" in refused.json()["detail"]
        assert stored(web) == before
        assert call(http.address, "GET", "/admin/login/").headers["Location"].startswith("https://")


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_what_is_for_machines_is_not_public(https: Nginx, path: str) -> None:
    assert call(https.address, "GET", path).status == 404


def test_what_nginx_answers_itself_is_a_problem_too(https: Nginx, key: dict[str, str]) -> None:
    large = call(https.address, "POST", "/api/actions", b" " * (2**20 + 1), key)
    assert (large.status, large.headers["Content-Type"]) == (413, "application/problem+json")
    assert large.json()["status"] == 413
    with need(lambda: Nginx(CLOSED)) as nobody:
        away = call(nobody.address, "POST", "/api/actions", ACTION, key)
        assert (away.status, away.headers["Retry-After"], away.json()["status"]) == (503, "2", 503)


class Posting(threading.Thread):
    """Posts one action without event_id after another on one connection; `answered` counts statuses, 0 for none."""

    def __init__(self, address: str, key: dict[str, str], end: threading.Event) -> None:
        super().__init__()
        self._address, self._end, self.answered = address, end, Counter[int]()
        self._headers = {"Content-Type": "application/json"} | key

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        while not self._end.is_set():
            try:
                connection.request("POST", "/api/actions", json.dumps(ACTION), self._headers)
                answer = connection.getresponse()
                answer.read()
                self.answered[answer.status] += 1
            except (OSError, http.client.HTTPException):
                self.answered[0] += 1
                connection.close()
        connection.close()


@pytest.mark.long
def test_a_quick_rolling_restart_loses_no_request(fresh_database: str) -> None:
    """Two web processes, one restarted right after the other."""
    with Stack(
        database_url=fresh_database, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED, **PRODUCTION
    ) as stack:
        made = stack.manage("create_api_key", "test", "--scope", "actions:write")
        key = {"Authorization": f"Api-Key {made.stdout.strip()}"}
        webs = [stack.program("web"), stack.program("web")]
        for web in webs:
            web.start()
        with need(lambda: Nginx(*(web.address for web in webs), tls=True)) as nginx:
            end = threading.Event()
            clients = [Posting(nginx.address, key, end) for _ in range(16)]
            for client in clients:
                client.start()
            for web in 2 * webs:
                time.sleep(1)
                web.stop()
                web.start()
            end.set()
            for client in clients:
                client.join(60)
    answered = sum((client.answered for client in clients), Counter[int]())
    with psycopg.connect(fresh_database) as connection:
        rows = connection.execute("SELECT count(*) FROM user_actions").fetchone()
    assert set(answered) == {201}, answered
    assert rows == (answered[201],)
