"""How the streaks talk to Redis: on connections that look, when they open, whether the server was restarted."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from redis.connection import AbstractConnection
from redis.exceptions import ResponseError

from ccweb.redis import client
from ccweb.redis.circuit_breaker import REDIS, Breaker
from ccweb.redis.client import Call
from ccweb.redis.client import CommandRefused as CommandRefused
from segments.streaks.lua import CHECK

logger = logging.getLogger(__name__)
BACKGROUND_TIMEOUT_SECONDS = 5.0
BACKGROUND = Breaker("redis in the background", errors=REDIS.errors, pause=1.0)
_in_background: ContextVar[bool] = ContextVar("patient", default=False)
COMPLETE = "ccweb:streaks:complete"  # exists: every streak that lives is in Redis; holds the server's run_id


@contextmanager
def background_timeouts() -> Iterator[None]:
    """Work that nobody waits for: in here a busy Redis has 5 s, and what fails does not open the requests' breaker."""
    token = _in_background.set(True)
    try:
        yield
    finally:
        _in_background.reset(token)


def command(*words: Any) -> Any:
    """The answer to one command; DependencyUnavailable or CommandRefused otherwise."""
    return client.command(*words, **_way())


def run_script(script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
    """The answer of a Lua script; DependencyUnavailable or CommandRefused otherwise."""
    return client.run_script(Call(script, names, arguments), **_way())


def _way() -> dict[str, Any]:
    if _in_background.get():
        return {"by": client.pool(settings.REDIS_URL, BACKGROUND_TIMEOUT_SECONDS), "breaker": BACKGROUND}
    return {}


def check_restart(connection: AbstractConnection) -> None:
    """On each new connection: a server that is not the one whose streaks were completed may have lost some."""
    connection.send_command("EVAL", CHECK, 1, COMPLETE)  # type: ignore[no-untyped-call]
    try:
        if connection.read_response() == -1:
            logger.warning(
                "Redis was restarted or replaced: the streaks are read from the database until they are rebuilt"
            )
    except ResponseError as error:
        logger.warning("whether Redis was restarted cannot be seen, run rebuild_streaks after a restart: %s", error)
