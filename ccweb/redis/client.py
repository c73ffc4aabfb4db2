"""A Redis client for commands and scripts, several in one round trip: one attempt, short timeouts, a circuit breaker.

redis-py opens the connections and reads the replies. Its pool and its class Redis are not used: each adds about as much
time to a command as the command itself takes.
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
# Called with each new connection, after redis-py's own handshake; an app appends its function in AppConfig.ready().
ON_CONNECT: list[Callable[[AbstractConnection], None]] = []


class CommandRefused(Exception):
    """Redis answered with an error: its memory is full, it is a replica, or it does not allow the command."""


class Call(NamedTuple):
    """A Lua script with its KEYS and ARGV."""

    script: str
    names: Sequence[str]
    arguments: Sequence[Any] = ()

    def words(self, *, whole: bool = False) -> Words:
        """The command: EVALSHA with the script's digest, or EVAL with the script itself if `whole`."""
        head = ("EVAL", self.script) if whole else ("EVALSHA", _sha(self.script))
        return (*head, len(self.names), *self.names, *self.arguments)


class ConnectionPool:
    """This process's connections to one server; each is used by one thread at a time."""

    def __init__(self, url: str, timeout: float | None = None) -> None:
        """`timeout` (seconds) replaces socket_timeout of REDIS_OPTIONS."""
        options = settings.REDIS_OPTIONS | ({"socket_timeout": timeout} if timeout else {})
        pool = redis.ConnectionPool.from_url(url, **options, redis_connect_func=_on_connect)
        # Not created by redis-py's pool, which would also count connections that are closed.
        self._connect: Callable[[], AbstractConnection] = partial(pool.connection_class, **pool.connection_kwargs)
        self._free: list[AbstractConnection] = []  # append and pop are atomic

    def send(self, requests: Sequence[Words]) -> list[Any]:
        """The replies, ResponseErrors among them, to commands that are sent in one write."""
        connection = self._acquire()
        try:
            packed = [part for words in requests for part in connection.pack_command(*words)]  # type: ignore[no-untyped-call]
            connection.send_packed_command([b"".join(packed)])  # type: ignore[no-untyped-call]
            answers = [_read(connection) for _ in requests]
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        self._free.append(connection)
        return answers

    def _acquire(self) -> AbstractConnection:
        while True:
            try:
                connection = self._free.pop()
            except IndexError:
                return self._connect()
            if not _is_unusable(connection):
                return connection
            connection.disconnect()  # type: ignore[no-untyped-call]


@cache
def pool(url: str, timeout: float | None = None) -> ConnectionPool:
    """This process's pool for a server and a timeout (seconds)."""
    return ConnectionPool(url, timeout)


os.register_at_fork(after_in_child=pool.cache_clear)  # a child that shared connections would read its parent's replies


def command(*words: Any, by: ConnectionPool | None = None, breaker: Breaker = REDIS) -> Any:
    """The reply to one command; raises DependencyUnavailable or CommandRefused."""
    return answer(breaker.call((by or pool(settings.REDIS_URL)).send, [words])[0])


def run_script(call: Call, by: ConnectionPool | None = None, breaker: Breaker = REDIS) -> Any:
    """The reply of a script; raises DependencyUnavailable or CommandRefused."""
    return answer(run_scripts([call], by, breaker)[0])


def run_scripts(calls: Sequence[Call], by: ConnectionPool | None = None, breaker: Breaker = REDIS) -> list[Any]:
    """The replies of scripts in one round trip, each to be read by `answer`; raises DependencyUnavailable."""
    return breaker.call(_evaluate, by or pool(settings.REDIS_URL), calls)


def answer(found: Any) -> Any:
    """The value of a reply; raises CommandRefused for an error."""
    # Outside the breaker's call: a server that refuses a command is available, so the breaker stays closed.
    if isinstance(found, ResponseError):
        raise CommandRefused(str(found)) from found
    return found


def _evaluate(by: ConnectionPool, calls: Sequence[Call]) -> list[Any]:
    answers = by.send([call.words() for call in calls])
    for place, call in enumerate(calls):
        if isinstance(answers[place], NoScriptError):  # the server's script cache is empty after a restart
            answers[place] = by.send([call.words(whole=True)])[0]
    return answers


def _on_connect(connection: AbstractConnection) -> None:
    connection.on_connect()  # type: ignore[no-untyped-call]
    for function in ON_CONNECT:
        function(connection)


def _read(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _is_unusable(connection: AbstractConnection) -> bool:
    """Whether the server has closed the connection, or sent something that answers no command."""
    try:
        return bool(connection.can_read())
    except redis.ConnectionError:
        return True


@cache
def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
