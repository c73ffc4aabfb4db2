"""Redis commands of the streaks, and the check on each new connection whether the server was restarted."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from redis.exceptions import ResponseError

from ccweb.redis import client
from ccweb.redis.circuit_breaker import REDIS, Breaker
from ccweb.redis.client import Call
from ccweb.redis.client import CommandRefused as CommandRefused
from segments.streaks.lua import CHECK

logger = logging.getLogger(__name__)
BACKGROUND_TIMEOUT_SECONDS = 5.0
BACKGROUND = Breaker("redis in the background", errors=REDIS.errors, pause=1.0)
_in_background: ContextVar[bool] = ContextVar("in_background", default=False)
COMPLETE = "ccweb:streaks:complete"  # exists while Redis holds all streaks; its value is the server's run_id


@contextmanager
def background_timeouts() -> Iterator[None]:
    """For background work: Redis commands time out after 5 s, and errors do not open the requests' circuit breaker."""
    token = _in_background.set(True)
    try:
        yield
    finally:
        _in_background.reset(token)


def command(*words: Any) -> Any:
    """The reply to one command. Raises DependencyUnavailable or CommandRefused."""
    return client.command(*words, **_options())


def run_script(script: str, names: Sequence[str], arguments: Sequence[Any]) -> Any:
    """The reply of a Lua script. Raises DependencyUnavailable or CommandRefused."""
    return client.run_script(Call(script, names, arguments), **_options())


def _options() -> dict[str, Any]:
    if _in_background.get():
        return {"by": client.client(settings.REDIS_URL, BACKGROUND_TIMEOUT_SECONDS), "breaker": BACKGROUND}
    return {}


# Deletes the completeness mark if this is not the server for which it was set.
CHECK_RESTART = Call(CHECK, [COMPLETE])


def check_restart(reply: Any) -> None:
    """Log what CHECK_RESTART found on a new connection; `reply` is a ResponseError when it was refused."""
    if isinstance(reply, ResponseError):
        logger.warning("cannot check whether Redis was restarted, run rebuild_streaks after a restart: %s", reply)
    elif reply == -1:
        logger.warning("Redis was restarted or replaced: the streaks are read from the database until they are rebuilt")
