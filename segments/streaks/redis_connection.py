"""Redis commands of the streaks, and the check on each new connection whether the server was restarted."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from redis.exceptions import NoScriptError, ResponseError

from ccweb.redis import client
from ccweb.redis.circuit_breaker import REDIS, Breaker
from ccweb.redis.client import Call, Words, digest
from ccweb.redis.client import CommandRefused as CommandRefused
from segments.streaks.lua import DELETE_MARK, SINCE

logger = logging.getLogger(__name__)
BACKGROUND_TIMEOUT_SECONDS = 5.0
BACKGROUND = Breaker("redis in the background", errors=REDIS.errors, pause=1.0)
_in_background: ContextVar[bool] = ContextVar("in_background", default=False)
COMPLETE = "ccweb:streaks:complete"  # exists while Redis holds all streaks; its value is the token of the rebuild


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


def check_restart() -> Generator[Words, Any, None]:
    """On a new connection: delete the mark of completeness if the server was restarted or replaced since it was set.

    The rebuild has run a script that holds the mark's value, and servers keep scripts in memory only. Unlike INFO,
    which managed services and ACLs refuse, this needs no command that the streaks do not use anyway.
    """
    mark = yield "GET", COMPLETE
    is_set = isinstance(mark, bytes)
    found = (yield "EVALSHA", digest(SINCE % mark.decode(errors="replace")), 0) if is_set else mark
    if isinstance(found, NoScriptError):
        found = yield Call(DELETE_MARK, [COMPLETE], [mark]).words(whole=True)
        if found == 1:
            logger.warning("Redis was restarted or replaced: streaks are read from the database until they are rebuilt")
    if isinstance(found, ResponseError):
        logger.warning("cannot check whether Redis was restarted, run rebuild_streaks after a restart: %s", found)
