"""Commands and scripts in a real Redis, by redis-py's pool."""

import asyncio
from collections.abc import Iterator

import pytest
import redis
from pytest_django import Settings

from ccweb.redis.async_client import AsyncRedis
from ccweb.redis.circuit_breaker import REDIS, Breaker, DependencyUnavailable
from ccweb.redis.client import Call, CommandRefused, client, command, run_scripts, value_of
from tests.support.servers import LONG_TIMEOUTS, Redis

DOUBLE = Call("return 2 * ARGV[1]", [], [21])
FAIL = Call("return redis.error_reply('no')", [])


@pytest.fixture
def line(redis_server: Redis) -> redis.Redis:
    return client(f"{redis_server.url}/0{LONG_TIMEOUTS}")


@pytest.fixture
def raw(redis_server: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(f"{redis_server.url}/0") as client:
        yield client


def breaker() -> Breaker:
    return Breaker("redis", errors=(redis.RedisError, OSError), threshold=1, pause=60)


def connections(raw: redis.Redis) -> int:
    return len(raw.client_list()) - 1


def test_scripts_are_sent_by_one_round_trip_and_loaded_when_the_server_does_not_know_them(
    line: redis.Redis, raw: redis.Redis
) -> None:
    assert run_scripts([DOUBLE, DOUBLE], line) == [42, 42]
    raw.script_flush()
    assert run_scripts([DOUBLE, DOUBLE._replace(arguments=[1])], line) == [42, 2]
    assert connections(raw) == 1


def test_an_error_is_one_of_the_replies_and_opens_no_breaker(line: redis.Redis) -> None:
    circuit = breaker()
    refused, double = run_scripts([FAIL, DOUBLE], line, circuit)
    assert double == 42
    with pytest.raises(CommandRefused, match="no"):
        value_of(refused)
    with pytest.raises(CommandRefused):
        command("GET", by=line, breaker=circuit)
    assert not circuit.is_open


def test_a_line_that_the_server_has_closed_is_replaced_before_it_is_used(line: redis.Redis, raw: redis.Redis) -> None:
    command("SET", "a", "1", by=line)
    raw.client_kill_filter(_type="normal", skipme=True)
    assert command("GET", "a", by=line, breaker=breaker()) == b"1"


def test_a_late_reply_is_not_given_to_another_caller(redis_server: Redis, raw: redis.Redis) -> None:
    line = client(f"{redis_server.url}/0", 0.3)
    command("SET", "a", "1", by=line)
    raw.client_pause(1000)
    with pytest.raises(DependencyUnavailable):
        command("GET", "a", by=line, breaker=breaker())
    raw.client_unpause()
    assert command("PING", by=line, breaker=breaker()) is True
    assert connections(raw) == 1


def test_the_event_loop_waits_for_a_frozen_server_no_longer_than_its_timeouts(
    redis_server: Redis, settings: Settings
) -> None:
    settings.REDIS_URL = f"{redis_server.url}/0"

    async def run() -> None:
        connection = AsyncRedis()
        assert await connection.run_scripts([DOUBLE]) == [42]
        redis_server.freeze()
        try:
            async with asyncio.timeout(20):
                for _ in range(2):  # on the open connection, then on a new one: the kernel accepts it
                    with pytest.raises(DependencyUnavailable, match="is unavailable"):
                        await connection.run_scripts([DOUBLE])
                    REDIS.reset()
        finally:
            redis_server.thaw()
        settings.REDIS_URL = f"{redis_server.url}/0{LONG_TIMEOUTS}"
        assert (await connection.run_scripts([DOUBLE, FAIL]))[0] == 42
        await connection.close()

    asyncio.run(run())


def test_the_event_loop_waits_as_long_as_the_url_says(
    redis_server: Redis, raw: redis.Redis, settings: Settings
) -> None:
    settings.REDIS_URL = f"{redis_server.url}/0{LONG_TIMEOUTS}"

    async def run() -> None:
        connection = AsyncRedis()
        assert await connection.run_scripts([DOUBLE]) == [42]
        raw.client_pause(500)  # more than the timeout of the settings
        assert await connection.run_scripts([DOUBLE]) == [42]
        await connection.close()

    asyncio.run(run())


def test_a_long_outage_uses_nothing_up(line: redis.Redis, redis_server: Redis) -> None:
    redis_server.stop()
    for _ in range(120):
        with pytest.raises(DependencyUnavailable):
            command("PING", by=line, breaker=breaker())
    redis_server.start()
    assert command("PING", by=line, breaker=breaker()) is True
