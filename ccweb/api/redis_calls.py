"""One command or script in Redis: one attempt, short timeouts, through the breaker that all uses share.

Without redis.Redis, whose execute_command costs up to three times as much as the command.
"""

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha1
from typing import Any

import redis
from django.conf import settings
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from ccweb.api.breaker import REDIS, Breaker


class Refused(Exception):
    """Redis answered, with an error: its memory is full, it is a replica, it does not allow the command."""


@cache
def pool(
    url: str, greet: Callable[[AbstractConnection], None] | None = None, timeout: float | None = None
) -> redis.ConnectionPool:
    """This process's connections to a server; `greet` is what each does first, `timeout` (s) replaces the usual one."""
    options = settings.REDIS_OPTIONS | ({"socket_timeout": timeout} if timeout else {})
    return redis.ConnectionPool.from_url(url, **options, redis_connect_func=greet)


def command(connections: redis.ConnectionPool, *words: Any, breaker: Breaker = REDIS) -> Any:
    """The answer to one command; Away or Refused otherwise."""
    return _answer(breaker.call(_send, connections, *words))


def run_script(
    connections: redis.ConnectionPool,
    script: str,
    names: Sequence[str],
    arguments: Sequence[Any] = (),
    breaker: Breaker = REDIS,
) -> Any:
    """The answer of a Lua script with its KEYS and ARGV; Away or Refused otherwise."""
    return _answer(breaker.call(_evaluate, connections, script, len(names), *names, *arguments))


def _answer(answer: Any) -> Any:
    # Raised out here, because a server that refuses is there: the breaker stays closed.
    if isinstance(answer, ResponseError):
        raise Refused(str(answer)) from answer
    return answer


def _evaluate(connections: redis.ConnectionPool, script: str, *words: Any) -> Any:
    answer = _send(connections, "EVALSHA", _sha(script), *words)
    if isinstance(answer, NoScriptError):  # a Redis that has just started
        return _send(connections, "EVAL", script, *words)
    return answer


def _send(connections: redis.ConnectionPool, *words: Any) -> Any:
    connection = connections.get_connection()
    try:
        connection.send_command(*words)  # type: ignore[no-untyped-call]
        return connection.read_response()
    except ResponseError as error:
        return error
    finally:
        connections.release(connection)


@cache
def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
