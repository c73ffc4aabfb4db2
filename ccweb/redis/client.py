"""Commands and scripts in Redis, several by one round trip: one attempt, short timeouts, one breaker for all uses.

redis-py opens the connections and reads the answers. Its pool and redis.Redis are left out: each costs a command about
as much as the command itself.
"""

import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from hashlib import sha1
from typing import Any, NamedTuple

import redis
from django.conf import settings
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from ccweb.redis.circuit_breaker import REDIS, Breaker

Words = Sequence[Any]
# What each new connection does first, after redis-py's own greeting; an app that needs it appends it when it is ready.
ON_CONNECT: list[Callable[[AbstractConnection], None]] = []


class CommandRefused(Exception):
    """Redis answered, with an error: its memory is full, it is a replica, it does not allow the command."""


class Call(NamedTuple):
    """A Lua script with its KEYS and ARGV."""

    script: str
    names: Sequence[str]
    arguments: Sequence[Any] = ()

    def words(self, *, whole: bool = False) -> Words:
        """As a command: by the digest under which the server knows the script, or the script as a whole."""
        head = ("EVAL", self.script) if whole else ("EVALSHA", _sha(self.script))
        return (*head, len(self.names), *self.names, *self.arguments)


class ConnectionPool:
    """This process's connections to a server, each of which serves one thread at a time."""

    def __init__(self, url: str, timeout: float | None = None) -> None:
        """`timeout` (s) replaces the usual one."""
        options = settings.REDIS_OPTIONS | ({"socket_timeout": timeout} if timeout else {})
        pool = redis.ConnectionPool.from_url(url, **options, redis_connect_func=_on_connect)
        # Not by the pool, which would count them, those that are gone too.
        self._connect: Callable[[], AbstractConnection] = partial(pool.connection_class, **pool.connection_kwargs)
        self._free: list[AbstractConnection] = []  # append and pop are atomic

    def send(self, requests: Sequence[Words]) -> list[Any]:
        """The answers, ResponseErrors among them, to requests that are sent at once."""
        connection = self._take()
        try:
            packed = [part for words in requests for part in connection.pack_command(*words)]  # type: ignore[no-untyped-call]
            connection.send_packed_command([b"".join(packed)])  # type: ignore[no-untyped-call]
            answers = [_read(connection) for _ in requests]
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        self._free.append(connection)
        return answers

    def _take(self) -> AbstractConnection:
        while True:
            try:
                connection = self._free.pop()
            except IndexError:
                return self._connect()
            if not _is_spoilt(connection):
                return connection
            connection.disconnect()  # type: ignore[no-untyped-call]


@cache
def pool(url: str, timeout: float | None = None) -> ConnectionPool:
    """This process's only ones to a server with that timeout (s)."""
    return ConnectionPool(url, timeout)


os.register_at_fork(after_in_child=pool.cache_clear)  # a child that shared them would get its parent's answers


def command(*words: Any, by: ConnectionPool | None = None, breaker: Breaker = REDIS) -> Any:
    """The answer to one command; DependencyUnavailable or CommandRefused otherwise."""
    return answer(breaker.call((by or pool(settings.REDIS_URL)).send, [words])[0])


def run_script(call: Call, by: ConnectionPool | None = None, breaker: Breaker = REDIS) -> Any:
    """The answer of a script; DependencyUnavailable or CommandRefused otherwise."""
    return answer(run_scripts([call], by, breaker)[0])


def run_scripts(calls: Sequence[Call], by: ConnectionPool | None = None, breaker: Breaker = REDIS) -> list[Any]:
    """What scripts answer by one round trip, each to be read by `answer`; DependencyUnavailable when Redis does not."""
    return breaker.call(_evaluate, by or pool(settings.REDIS_URL), calls)


def answer(found: Any) -> Any:
    """A value that Redis answered; CommandRefused for an error."""
    # Not in the breaker's call, because a server that refuses is there: the breaker stays closed.
    if isinstance(found, ResponseError):
        raise CommandRefused(str(found)) from found
    return found


def _evaluate(by: ConnectionPool, calls: Sequence[Call]) -> list[Any]:
    answers = by.send([call.words() for call in calls])
    for place, call in enumerate(calls):
        if isinstance(answers[place], NoScriptError):  # a Redis that has just started
            answers[place] = by.send([call.words(whole=True)])[0]
    return answers


def _on_connect(connection: AbstractConnection) -> None:
    connection.on_connect()  # type: ignore[no-untyped-call]
    for greet in ON_CONNECT:
        greet(connection)


def _read(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _is_spoilt(connection: AbstractConnection) -> bool:
    """Whether the server has closed it, or said something that nobody asked for."""
    try:
        return bool(connection.can_read())
    except redis.ConnectionError:
        return True


@cache
def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
