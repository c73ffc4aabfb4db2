"""How the streaks talk to Redis: one attempt, short timeouts, through the breaker that all uses of Redis share."""

import logging
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from typing import Any

import redis
from django.conf import settings
from redis.connection import AbstractConnection
from redis.exceptions import NoScriptError, ResponseError

from ccweb.api.breaker import REDIS
from segments.streaks.scripts import CHECK

log = logging.getLogger(__name__)
COMPLETE = "ccweb:streaks:complete"  # exists: every streak that lives is in Redis; holds the server's run_id


class Refused(Exception):
    """Redis answered, with an error: its memory is full, it is a replica, it does not allow the command."""


def command(*words: Any) -> Any:
    """The answer to one command; Away or Refused otherwise."""
    return _answer(REDIS.call(_send, *words))


def run_script(script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
    """The answer of a Lua script; Away or Refused otherwise."""
    return _answer(REDIS.call(_evaluate, script, len(names), *names, *arguments))


def _answer(answer: Any) -> Any:
    # Raised out here, because a server that refuses is there: the breaker stays closed.
    if isinstance(answer, ResponseError):
        raise Refused(str(answer)) from answer
    return answer


def _evaluate(script: str, *words: Any) -> Any:
    answer = _send("EVALSHA", _sha(script), *words)
    if isinstance(answer, NoScriptError):  # a Redis that has just started
        return _send("EVAL", script, *words)
    return answer


def _send(*words: Any) -> Any:
    """Without redis.Redis: its execute_command costs three times as much as the command."""
    pool = _pool(settings.REDIS_URL)
    connection = pool.get_connection()
    try:
        connection.send_command(*words)  # type: ignore[no-untyped-call]
        return connection.read_response()
    except ResponseError as error:
        return error
    finally:
        pool.release(connection)


@cache
def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


@cache
def _pool(url: str) -> redis.ConnectionPool:
    return redis.ConnectionPool.from_url(url, **settings.REDIS_OPTIONS, redis_connect_func=_greet)


def _greet(connection: AbstractConnection) -> None:
    """On each new connection: a server that is not the one whose streaks were completed may have lost some."""
    connection.on_connect()  # type: ignore[no-untyped-call]
    connection.send_command("EVAL", CHECK, 1, COMPLETE)  # type: ignore[no-untyped-call]
    try:
        if connection.read_response() == -1:
            log.warning(
                "Redis was restarted or replaced: the streaks are read from the database until they are rebuilt"
            )
    except ResponseError as error:
        log.warning("whether Redis was restarted cannot be seen, run rebuild_streaks after a restart: %s", error)
