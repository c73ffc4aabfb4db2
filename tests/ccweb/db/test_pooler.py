"""The web process behind PgBouncer in transaction mode: DATABASE_POOLED=1 with deploy/pgbouncer.ini."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from tests.support.deployment import Answer, Stack
from tests.support.os_processes import wait_for
from tests.support.pgbouncer import STATEMENT_TIMEOUT, PgBouncer
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Postgres, need

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("pooler")]
CLIENTS, ROUNDS, POOL = 12, 3, 4
STAFF = """
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
user, session = User.objects.create_superuser("operator", password=None), SessionStore()
session.update({"_auth_user_id": user.pk, "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": user.get_session_auth_hash()})
session.save()
print("key", session.session_key)
"""
LEFT_BEHIND = """SELECT 'statement', name FROM pg_prepared_statements
    UNION SELECT 'cursor', name FROM pg_cursors WHERE name <> ''
    UNION SELECT 'channel', * FROM pg_listening_channels()
    UNION SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> ALL(%s)
    UNION SELECT 'lock', objid::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION SELECT 'table', relname FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)"""
# Set by the pooler itself: by its connect_query, and what it carries over from the client that has the session.
OF_THE_POOLER = ["lock_timeout", "idle_in_transaction_session_timeout", "TimeZone", "client_encoding"]
OF_THE_POOLER += ["application_name", "DateStyle", "standard_conforming_strings"]


def behind(pooler: PgBouncer, direct_url: str, **variables: str) -> Stack:
    """The web process on the database of direct_url, through the pooler; Redis and Kafka are away."""
    pooled = {"DATABASE_POOLED": "1", "DATABASE_DIRECT_URL": direct_url} | variables
    url = pooler.url(direct_url.rpartition("/")[2])
    return Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED, **pooled)


@pytest.fixture
def pooler(fresh_database: str) -> Iterator[PgBouncer]:
    port = fresh_database.rpartition(":")[2].partition("/")[0]
    with need(lambda: PgBouncer(int(port), default_pool_size=str(POOL))) as server:
        yield server


@pytest.fixture
def web(pooler: PgBouncer, fresh_database: str) -> Iterator[Stack]:
    with behind(pooler, fresh_database) as stack:
        stack.web.start()
        yield stack


def mixed(web: Stack, client: int, session_key: str) -> list[Answer]:
    """One client's requests: single actions, lists, retries, reads, pages of the admin."""
    user, staff = {"user_id": client + 1, "action_type": "login"}, {"Cookie": f"sessionid={session_key}"}
    answers = []
    for _ in range(ROUNDS):
        with_id = user | {"event_id": str(uuid.uuid4())}
        answers += [web.call("POST", "/api/actions", body) for body in (user, [user] * 5, with_id, with_id, [with_id])]
        of_user = f"/api/user-segments/{client + 1}"
        answers += [web.call("GET", path) for path in (f"{of_user}/recommendation", "/api/actions", "/readyz")]
        pages = ("/admin/", "/admin/actions/useraction/", "/admin/segments/usersegment/export.csv")
        answers += [web.call("GET", path, headers=staff) for path in pages]
        answers.append(web.call("PATCH", of_user, {"risk_profile": "Low-Risk"}))
    return answers


def left_behind(pooler: PgBouncer, database: str) -> set[tuple[str, str]]:
    """What requests have left in any of the pooler's sessions: each open transaction has one."""
    with ExitStack() as stack:
        found: set[tuple[str, str]] = set()
        for _ in range(POOL):
            session = stack.enter_context(psycopg.connect(pooler.url(database), prepare_threshold=None))
            found |= set(session.execute(LEFT_BEHIND, [OF_THE_POOLER]).fetchall())
        return found


def test_twelve_clients_share_four_sessions_without_an_error(
    web: Stack, pooler: PgBouncer, fresh_database: str
) -> None:
    session_key = web.manage("shell", "-v", "0", "-c", STAFF).stdout.split()[-1]
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = sum(pool.map(lambda client: mixed(web, client, session_key), range(CLIENTS)), [])
    assert [(answer.status, answer.body) for answer in answers if answer.status not in {200, 201}] == []
    stored = CLIENTS * ROUNDS * (1 + 5 + 1)
    with psycopg.connect(fresh_database) as database:
        assert (
            database.execute("SELECT count(*), count(DISTINCT event_id) FROM user_actions").fetchone() == (stored,) * 2
        )
        assert database.execute("SELECT count(*) FROM outbox").fetchone() == (stored,)
    assert left_behind(pooler, fresh_database.rpartition("/")[2]) == {("statement_timeout", STATEMENT_TIMEOUT)}


@pytest.mark.long
@pytest.mark.parametrize("frozen", ["pooler", "server"])
def test_every_answer_comes_in_time_while_the_pooler_or_the_server_is_frozen(frozen: str) -> None:
    with (
        need(Postgres) as server,
        need(lambda: PgBouncer(server.port, default_pool_size=str(POOL))) as pooler,
        behind(pooler, server.create_database("ccweb")) as stack,
    ):
        stack.manage("migrate")
        stack.web.start()
        assert [answer.status for answer in mixed(stack, 0, "none")[:4]] == [201, 201, 201, 200]
        stopped = {"pooler": pooler, "server": server}[frozen]
        stopped.freeze()
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                found = list(pool.map(lambda number: timed(stack, number), range(4 * CLIENTS)))
        finally:
            stopped.thaw()
        assert {status for status, _ in found} == {503}
        assert max(seconds for _, seconds in found) <= 5
        wait_for(lambda: timed(stack, 0)[0] == 201, "an action to be stored again", 30)


def timed(stack: Stack, number: int) -> tuple[int, float]:
    """The status of one request, of several kinds in turn, and the seconds that it took."""
    begun, user = time.monotonic(), {"user_id": number + 1, "action_type": "login"}
    match number % 4:
        case 0:
            answer = stack.call("POST", "/api/actions", user)
        case 1:
            answer = stack.call("POST", "/api/actions", [user, user | {"event_id": str(uuid.uuid4())}])
        case 2:
            answer = stack.call("GET", "/api/user-segments/1/recommendation")
        case _:
            answer = stack.call("GET", "/api/actions")
    return answer.status, time.monotonic() - begun
