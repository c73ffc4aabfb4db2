"""A circuit breaker: a dependency that does not answer is left alone, so that requests do not queue up behind it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import redis
from prometheus_client import Counter

logger = logging.getLogger(__name__)
ERRORS = Counter("ccweb_dependency_errors", "Failed calls of an optional dependency.", ["dependency"])
P = ParamSpec("P")
T = TypeVar("T")


class DependencyUnavailable(Exception):
    """The dependency did not answer, or is being left alone because it did not answer before."""


class Breaker:
    """Opens after `threshold` errors in a row, or at once on a timeout; every `pause` seconds one call may probe.

    A timeout counts alone because it has cost its whole wait already: what follows in the same request must not
    wait again. One instance a dependency; safe for threads; each process has its own.
    """

    def __init__(
        self,
        name: str,
        *,
        errors: tuple[type[Exception], ...],
        timeouts: tuple[type[Exception], ...] = (),
        threshold: int = 3,
        pause: float = 5.0,
    ) -> None:
        self.name, self.errors, self.timeouts = name, errors, timeouts
        self.threshold, self.pause = threshold, pause
        self._lock = threading.Lock()
        self._failures = 0
        self._probe_at: float | None = None  # monotonic seconds; None while closed

    @property
    def is_open(self) -> bool:
        """Whether the dependency is being left alone."""
        return self._probe_at is not None

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns; DependencyUnavailable instead of one of `errors`, and at once while open."""
        if self._probe_at is not None and not self._may_probe():
            raise DependencyUnavailable(f"{self.name} is left alone after errors")
        try:
            result = function(*args, **kwargs)
        except self.errors as error:
            self._failed(error)
            raise DependencyUnavailable(f"{self.name} does not answer: {error}") from error
        if self._failures:
            self._answered()
        return result

    def reset(self) -> None:
        """Forget every error, as a new process would."""
        with self._lock:
            self._failures, self._probe_at = 0, None

    def _may_probe(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if self._probe_at is None:
                return True
            if now < self._probe_at:
                return False
            self._probe_at = now + self.pause
            return True

    def _failed(self, error: Exception) -> None:
        ERRORS.labels(self.name).inc()
        with self._lock:
            self._failures += 1
            opens = self._failures >= self.threshold or isinstance(error, self.timeouts)
            if opens and self._probe_at is None:
                logger.error("%s does not answer (%s): left alone, tried every %g s", self.name, error, self.pause)
            if opens:
                self._probe_at = time.monotonic() + self.pause

    def _answered(self) -> None:
        with self._lock:
            if self._probe_at is not None:
                logger.warning("%s answers again", self.name)
            self._failures, self._probe_at = 0, None


# One for every use of Redis in this process: what the limits have found out, the streaks need not find out again.
REDIS = Breaker("redis", errors=(redis.RedisError, OSError), timeouts=(redis.TimeoutError, TimeoutError))
