"""Commands and Lua scripts, several in one round trip: one attempt, short timeouts, a circuit breaker."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha1
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from redis.connection import AbstractConnection
from redis.exceptions import ClusterDownError, NoScriptError, ReadOnlyError, ResponseError

from ccweb.redis.circuit_breaker import REDIS, Breaker

Words = Sequence[Any]
# What is done on each new connection: yields commands, and gets the reply or ResponseError of each. An app appends to
# it in AppConfig.ready().
ON_CONNECT: list[Callable[[], Generator[Words, Any, None]]] = []


class CommandRefused(Exception):
    """Redis answered with an error: its memory is full, it is a replica, or it does not allow the command."""


class Call(NamedTuple):
    """A Lua script with its KEYS and ARGV."""

    script: str
    names: Sequence[str]
    arguments: Sequence[Any] = ()

    def words(self, *, whole: bool = False) -> Words:
        """The command: EVALSHA with the script's digest, or EVAL with the script itself if `whole`."""
        head = ("EVAL", self.script) if whole else ("EVALSHA", digest(self.script))
        return (*head, len(self.names), *self.names, *self.arguments)


@cache
def client(url: str, timeout: float | None = None) -> redis.Redis:
    """This process's client of a server; `timeout` (seconds) replaces socket_timeout of REDIS_OPTIONS."""
    options = settings.REDIS_OPTIONS | ({"socket_timeout": timeout} if timeout else {})
    return redis.Redis.from_url(url, **options, redis_connect_func=_on_connect)


os.register_at_fork(
    after_in_child=client.cache_clear
)  # a child that shared connections would read its parent's replies


def command(*words: Any, by: redis.Redis | None = None, breaker: Breaker = REDIS) -> Any:
    """The reply to one command; raises DependencyUnavailable or CommandRefused."""
    with breaker.guard():
        (reply,) = _send(by or client(settings.REDIS_URL), [words])
    return value_of(reply)


def run_script(call: Call, by: redis.Redis | None = None, breaker: Breaker = REDIS) -> Any:
    """The reply of a script; raises DependencyUnavailable or CommandRefused."""
    return value_of(run_scripts([call], by, breaker)[0])


def run_scripts(calls: Sequence[Call], by: redis.Redis | None = None, breaker: Breaker = REDIS) -> list[Any]:
    """The replies of scripts in one round trip, each to be read by `value_of`; raises DependencyUnavailable."""
    server = by or client(settings.REDIS_URL)
    with breaker.guard():
        replies = _send(server, [call.words() for call in calls])
        if missing := unknown_scripts(replies):
            for place, reply in zip(missing, _send(server, [calls[n].words(whole=True) for n in missing]), strict=True):
                replies[place] = reply
    return replies


def unknown_scripts(replies: Sequence[Any]) -> list[int]:
    """The places of scripts that the server does not know: its script cache is empty after a restart."""
    return [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]


def is_elsewhere(replies: Sequence[Any]) -> bool:
    """Whether the server refuses because another one has to answer, as after a failover that made it a replica.

    The connection is to be closed: a new one may reach the new master. While a server loads its data redis-py raises
    ConnectionError, which closes the connection anyway.
    """
    refused = [reply for reply in replies if isinstance(reply, ResponseError)]
    return any(isinstance(error, ReadOnlyError | ClusterDownError) or "-READONLY" in str(error) for error in refused)


def value_of(reply: Any) -> Any:
    """The value of a reply; raises CommandRefused for an error."""
    # Outside the breaker's guard: a server that refuses a command is available, so the breaker stays closed.
    if isinstance(reply, ResponseError):
        raise CommandRefused(str(reply)) from reply
    return reply


def refuse_cluster() -> None:
    """Raises ImproperlyConfigured when REDIS_URL leads to a Redis Cluster or a Sentinel; not when it is unavailable.

    Our scripts use the keys of many users at once, which a cluster keeps in different places.
    """
    pool = redis.ConnectionPool.from_url(settings.REDIS_URL, **settings.REDIS_OPTIONS)
    connection = pool.connection_class(**pool.connection_kwargs | {"db": 0})  # a cluster refuses all others
    try:
        connection.connect()
        connection.send_command("HELLO", 3)
        mode = connection.read_response()[b"mode"].decode()
    except (redis.RedisError, OSError):
        return  # optional, and its first use logs the error
    finally:
        connection.disconnect()
    if mode != "standalone":
        expected = "expected a single server, or a proxy of the current master"
        raise ImproperlyConfigured(f"environment variable REDIS_URL leads to a Redis in {mode} mode: {expected}")


def _send(server: redis.Redis, commands: Sequence[Words]) -> list[Any]:
    """The replies to commands that are sent in one write, ResponseErrors among them."""
    pipeline = server.pipeline(transaction=False)
    for words in commands:
        pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
    replies: list[Any] = pipeline.execute(raise_on_error=False)
    if is_elsewhere(replies):
        server.connection_pool.disconnect(inuse_connections=False)
    return replies


def _on_connect(connection: AbstractConnection) -> None:
    connection.on_connect()  # type: ignore[no-untyped-call]
    for begin in ON_CONNECT:
        steps, reply = begin(), None
        with suppress(StopIteration):
            while True:
                connection.send_command(*steps.send(reply))  # type: ignore[no-untyped-call]
                reply = _read(connection)


def _read(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


@cache
def digest(script: str) -> str:
    """The name of a script in EVALSHA."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
