"""Many requests at once to the real server, most of which are served in batches."""

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings

from ccweb.events.erasure import token_of
from tests.support.deployment import Answer, Stack
from tests.support.os_processes import wait_for, wait_for_a_minute_with
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import need

pytestmark = pytest.mark.stack
MOST = 50


@pytest.fixture
def web(fresh_database: str, redis_client: redis.Redis) -> Iterator[Stack]:
    """The web process, without Kafka: the outbox keeps what was queued."""
    redis_url = os.environ["REDIS_URL"]
    limited = {"THROTTLE_ADDRESS": f"{MOST}/min", "ERASURE_KEY": settings.ERASURE_KEY}
    with Stack(database_url=fresh_database, redis_url=redis_url, kafka_broker=CLOSED, **limited) as stack:
        need(stack.web.start)
        stack.web.wait_for_workers()
        yield stack


def at_once(web: Stack, actions: Sequence[dict[str, Any]]) -> list[Answer]:
    """Send all of them while the table is locked, so that the requests after the first form a batch."""
    with (
        psycopg.connect(web.database_url) as connection,
        ThreadPoolExecutor(len(actions)) as pool,
    ):
        connection.execute("LOCK TABLE user_actions IN ACCESS EXCLUSIVE MODE")
        sent = [
            pool.submit(web.call, "POST", "/api/actions", action, {"X-Request-ID": f"request-{number}"})
            for number, action in enumerate(actions)
        ]
        time.sleep(0.5)
        connection.rollback()
        return [one.result() for one in sent]


def warm(web: Stack) -> None:
    """Both workers learn from Django what its answers have in common."""
    for _ in range(8):
        web.call("POST", "/api/actions", {"user_id": 1, "action_type": "warm"})


def test_each_gets_its_own_answer_and_its_message_its_own_request_id(web: Stack) -> None:
    warm(web)
    known, shared = str(uuid.uuid4()), str(uuid.uuid4())
    with psycopg.connect(web.database_url) as connection:
        connection.execute("INSERT INTO erased_users (token, erased_at) VALUES (%s, now())", [token_of(666)])
    assert web.call("POST", "/api/actions", {"user_id": 2, "action_type": "known", "event_id": known}).status == 201
    answers = at_once(
        web,
        [
            *({"user_id": 10 + n, "action_type": "new", "value": f"{n}.50"} for n in range(12)),
            {"user_id": 2, "action_type": "known", "event_id": known},
            {"user_id": 2, "action_type": "other", "event_id": known},
            {"user_id": 666, "action_type": "late"},
            {"user_id": 3, "action_type": "x" * 65},
            *({"user_id": 4, "action_type": "shared", "event_id": shared} for _ in range(6)),
        ],
    )
    statuses = [answer.status for answer in answers]
    assert statuses[:16] == [201] * 12 + [200, 409, 410, 400]
    assert sorted(statuses[16:]) == [200] * 5 + [201]
    assert [(a.json()["user_id"], a.json()["value"]) for a in answers[:12]] == [(10 + n, f"{n}.50") for n in range(12)]
    assert [answer.headers["X-Request-ID"] for answer in answers] == [f"request-{n}" for n in range(len(answers))]
    with psycopg.connect(web.database_url) as connection:
        messages = connection.execute("SELECT headers, payload FROM outbox WHERE payload LIKE '%new%'").fetchall()
        rows = connection.execute("SELECT count(*) FROM user_actions WHERE action_type <> 'warm'").fetchone()
    by_request = {headers["request_id"]: json.loads(payload)["event_id"] for headers, payload in messages}
    assert by_request == {f"request-{n}": answers[n].json()["event_id"] for n in range(12)}
    assert rows == (14,)


def test_an_event_id_that_another_client_is_storing_delays_no_other_request(web: Stack) -> None:
    warm(web)
    event_id = str(uuid.uuid4())
    with psycopg.connect(web.database_url) as importing, ThreadPoolExecutor(13) as pool:
        importing.execute(
            "INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at) "
            "VALUES (%s, 5, 'imported', 0, now(), now())",
            [event_id],
        )
        held = pool.submit(
            web.call, "POST", "/api/actions", {"user_id": 5, "action_type": "held", "event_id": event_id}
        )
        time.sleep(0.2)
        others = [
            pool.submit(web.call, "POST", "/api/actions", {"user_id": n, "action_type": "free"}) for n in range(1, 13)
        ]
        assert {other.result().status for other in others} == {201}
        assert not held.done()
        assert held.result().status == 503
        importing.rollback()
        stored = importing.execute("SELECT count(*) FROM user_actions WHERE action_type <> 'warm'").fetchone()
    assert stored == (12,)


def test_exactly_the_limit_passes(web: Stack) -> None:
    wait_for_a_minute_with(seconds=20)
    warm(web)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: web.call("GET", f"/api/user-segments/{n}/recommendation"), range(1, 201)))
    assert Counter(answer.status for answer in answers) == {200: MOST - 8, 429: 200 - (MOST - 8)}
    left = [answer.headers["RateLimit-Remaining"] for answer in answers if answer.status == 200]
    assert sorted(map(int, left)) == list(range(MOST - 8))


def test_a_request_served_by_a_session_that_ends_gets_503_and_is_not_stored(web: Stack) -> None:
    warm(web)
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s"
    with (
        psycopg.connect(web.database_url, autocommit=True) as other,
        psycopg.connect(web.database_url, autocommit=True) as killer,
        ThreadPoolExecutor(12) as pool,
    ):
        with other.transaction():
            other.execute("LOCK TABLE user_actions IN ACCESS EXCLUSIVE MODE")
            sent = [
                pool.submit(web.call, "POST", "/api/actions", {"user_id": n, "action_type": "cut"})
                for n in range(1, 13)
            ]
            for _ in range(2):
                wait_for(
                    lambda: killer.execute(end, ["WITH sent%"]).rowcount or all(one.done() for one in sent),
                    "a session that serves",
                )
                time.sleep(0.5)
        answers = [one.result() for one in sent]
        stored = other.execute("SELECT count(*) FROM user_actions WHERE action_type = 'cut'").fetchone()
    statuses = Counter(answer.status for answer in answers)
    assert statuses[503] > 0
    assert statuses == Counter({503: statuses[503], 201: stored[0]})  # type: ignore[index]
    assert {answer.headers["Retry-After"] for answer in answers if answer.status == 503} == {"2"}
