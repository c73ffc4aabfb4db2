"""How the streaks talk to Redis: on connections that look, when they open, whether the server was restarted."""

import logging
from collections.abc import Sequence
from typing import Any

import redis
from django.conf import settings
from redis.connection import AbstractConnection
from redis.exceptions import ResponseError

from ccweb.api import redis_calls
from ccweb.api.redis_calls import Refused as Refused
from segments.streaks.scripts import CHECK

log = logging.getLogger(__name__)
COMPLETE = "ccweb:streaks:complete"  # exists: every streak that lives is in Redis; holds the server's run_id


def command(*words: Any) -> Any:
    """The answer to one command; Away or Refused otherwise."""
    return redis_calls.command(_connections(), *words)


def run_script(script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
    """The answer of a Lua script; Away or Refused otherwise."""
    return redis_calls.run_script(_connections(), script, names, arguments)


def _connections() -> redis.ConnectionPool:
    return redis_calls.pool(settings.REDIS_URL, _greet)


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
