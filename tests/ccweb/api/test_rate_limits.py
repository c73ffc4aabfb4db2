"""The limits: exactly that many requests pass, for each key and for each address."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import time_machine
from django.test import Client
from pytest_django import Settings

from ccweb.api.rate_counters import Limit, consume, consume_steps, refund
from ccweb.db.steps import run
from ccweb.redis.client import Call
from tests.support.servers import LONG_TIMEOUTS, Redis

NOON = "2026-11-22T12:00:00Z"


@pytest.fixture
def small_limits(settings: Settings) -> None:
    settings.THROTTLE_KEY, settings.THROTTLE_ADDRESS = 3, 5


@pytest.fixture
def away(redis_server: Redis, settings: Settings) -> Redis:
    """The settings name this Redis; the test stops or freezes it."""
    settings.REDIS_URL = f"{redis_server.url}/0"
    return redis_server


def call(address: str = "127.0.0.1", sent: str | None = None, **headers: str) -> Any:
    if sent is not None:
        headers["Authorization"] = f"Api-Key {sent}"
    return Client(REMOTE_ADDR=address).get("/api/nothing", headers=headers)


def codes(number: int, *args: Any, **kwargs: Any) -> list[int]:
    return [call(*args, **kwargs).status_code for _ in range(number)]


@pytest.mark.usefixtures("redis_client", "small_limits")
class TestWindows:
    """With the clock fixed at noon."""

    @pytest.fixture(autouse=True)
    def clock(self) -> Any:
        with time_machine.travel(NOON, tick=False) as clock:
            yield clock

    def test_exactly_the_limit_of_an_address_passes_in_a_window(self, clock: Any) -> None:
        assert codes(8) == [404] * 5 + [429] * 3
        clock.shift(59)
        assert codes(1) == [429]
        clock.shift(1)
        assert codes(8) == [404] * 5 + [429] * 3

    def test_exactly_the_limit_of_a_key_passes_whatever_the_address(self) -> None:
        assert codes(4, sent="a") == [404] * 3 + [429]
        assert call("127.0.0.2", sent="a").status_code == 429
        assert call("127.0.0.2", sent="b").status_code == 404

    def test_a_refused_request_uses_nothing_up(self) -> None:
        codes(100, sent="a")
        assert codes(3) == [404] * 2 + [429]

    def test_addresses_have_limits_of_their_own_but_an_ipv6_customer_only_one(self, settings: Settings) -> None:
        settings.API_IS_OPEN = False
        codes(5, "203.0.113.1")
        assert codes(1, "203.0.113.1") == [429]
        assert codes(1, "203.0.113.2") == [404]
        for last in range(5):
            call(f"2001:db8::{last}")
        assert codes(1, "2001:db8::ffff") == [429]
        assert codes(1, "2001:db8:0:1::1") == [404]

    def test_an_invented_x_forwarded_for_makes_no_new_limit(self, settings: Settings) -> None:
        settings.API_IS_OPEN = False
        spoofed = [call("203.0.113.1", **{"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(6)]
        assert spoofed == [404] * 5 + [429]

    def test_a_refusal_says_when_to_come_back(self, clock: Any) -> None:
        clock.shift(18.5)
        codes(3, sent="a")
        answer = call(sent="a")
        assert answer.status_code == 429
        assert answer["Content-Type"] == "application/problem+json"
        assert answer["Retry-After"] == "42"
        assert answer.json() == {
            "type": "about:blank",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "More than 3 requests a minute for this key; try again in 42 s.",
        }
        clock.shift(42)
        assert call(sent="a").status_code == 404

    def test_every_answer_says_what_is_left(self) -> None:
        answer = call(sent="a")
        assert answer["RateLimit-Policy"] == '"address";q=5;w=60, "key";q=3;w=60'
        assert answer["RateLimit"] == '"address";r=4;t=60, "key";r=2;t=60'
        tightest = [answer[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
        assert tightest == ["3", "2", "60"]
        assert "RateLimit-Local" not in answer

    def test_probes_and_the_admin_have_no_limit(self) -> None:
        codes(6)
        assert Client().get("/healthz").status_code == 200
        assert Client().get("/admin/login/").status_code == 200

    def test_given_back_means_not_counted(self) -> None:
        limits = [Limit("login", "user", 2)]
        for _ in range(5):
            verdict = consume(limits)
            assert verdict.passed
            refund(verdict)
        assert [consume(limits).passed for _ in range(3)] == [True, True, False]

    def test_counters_disappear_by_themselves(self, redis_client: redis.Redis) -> None:
        call(sent="a")
        names = redis_client.keys("ccweb:limit:*")
        assert len(names) == 2
        assert all(0 < redis_client.ttl(name) <= 120 for name in names)

    def test_a_key_is_not_readable_in_redis(self, redis_client: redis.Redis) -> None:
        call(sent="abcdefgh.secretsecretsecret")
        assert not any(b"secret" in name or b"abcdefgh" in name for name in redis_client.keys("*"))


@pytest.mark.usefixtures("redis_client")
def test_exactly_the_limit_passes_at_any_concurrency() -> None:
    limits = [Limit("address", "many", 100, seconds=10**9), Limit("key", "many", 70, seconds=10**9)]
    with ThreadPoolExecutor(32) as pool:
        passed = Counter(pool.map(lambda _: consume(limits).passed, range(1000)))
        passed += Counter(pool.map(lambda _: consume(limits[:1]).passed, range(1000)))
    assert passed == {True: 100, False: 1900}


@pytest.mark.usefixtures("fixed_clock", "small_limits")
@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_without_redis_each_process_counts_alone_and_says_so(
    away: Redis, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert call("127.0.0.9").status_code == 404
    getattr(away, fault)()
    answers = [call(f"127.1.0.{len(fault)}") for _ in range(8)]
    assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3
    assert {answer["RateLimit-Local"] for answer in answers} == {"?1"}
    assert re.search("redis is unavailable .*circuit breaker open", caplog.text)


@pytest.mark.usefixtures("small_limits")
def test_a_full_redis_counts_as_away(away: Redis) -> None:
    with redis.Redis.from_url(f"{away.url}/0") as client:
        client.config_set("maxmemory", "1")
    assert call("127.2.0.1")["RateLimit-Local"] == "?1"


@pytest.mark.usefixtures("fixed_clock")
def test_a_redis_that_takes_no_writes_still_answers_what_was_asked_along(away: Redis, settings: Settings) -> None:
    settings.REDIS_URL += LONG_TIMEOUTS
    limits = [Limit("address", "reader", 2)]
    with redis.Redis.from_url(f"{away.url}/0") as client:
        client.set("known", "value")
        client.config_set("maxmemory", "1")
    (first, second, third), asked = run(
        consume_steps([limits] * 3, Call("return redis.call('GET', KEYS[1])", ["known"]))
    )
    assert asked == [b"value"]
    assert [verdict.passed for verdict in (first, second, third)] == [True, True, False]
    assert {verdict.local for verdict in (first, second, third)} == {True}


@pytest.mark.usefixtures("fixed_clock")
def test_requests_that_are_taken_together_count_as_one_by_one(redis_client: redis.Redis) -> None:
    ours, theirs = Limit("address", "ours", 5), Limit("address", "others", 5)
    key = Limit("key", "shared", 4)
    sent = [(ours, key), (theirs, key), (ours, key), (ours, key), (theirs, key), (ours,), (ours,)]
    verdicts, _ = run(consume_steps(sent))
    assert [verdict.passed for verdict in verdicts] == [True, True, True, True, False, True, True]
    assert [verdict.left()[0] for verdict in verdicts] == [4, 4, 3, 2, 4, 1, 0]
    assert not consume([ours]).passed


@pytest.mark.usefixtures("fixed_clock")
def test_a_redis_that_lost_its_scripts_gets_them_again(redis_client: redis.Redis) -> None:
    redis_client.script_flush()
    assert consume([Limit("address", "any", 1)]).passed
    assert not consume([Limit("address", "any", 1)]).passed
