"""A circuit breaker: a dependency that does not answer is not called for a while, so that requests do not pile up."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from prometheus_client import Counter

logger = logging.getLogger(__name__)
ERRORS = Counter("ccweb_dependency_errors", "Failed calls of an optional dependency.", ["dependency"])


class DependencyUnavailable(Exception):
    """The dependency did not answer, or was not called because the circuit breaker is open."""


class Breaker:
    """Opens after `threshold` consecutive errors or a single timeout; every `pause` seconds one call may probe.

    A single timeout is enough because later calls of the same request must not wait once more. One instance a
    dependency; thread-safe; each process has its own.
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
        ERRORS.labels(name)  # a rate is taken from 0, not from the first error
        self._lock = threading.Lock()
        self._failures = 0
        self._probe_at: float | None = None  # monotonic seconds; None while closed

    @property
    def is_open(self) -> bool:
        """Whether calls fail without being tried."""
        return self._probe_at is not None

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around a call; raises DependencyUnavailable for one of `errors`, and immediately while open."""
        if self._probe_at is not None and not self._may_probe():
            raise DependencyUnavailable(f"{self.name} is not called: the circuit breaker is open after errors")
        try:
            yield
        except self.errors as error:
            self._failed(error)
            raise DependencyUnavailable(f"{self.name} is unavailable: {error}") from error
        if self._failures:  # read without the lock, which a call without earlier errors need not take
            self._succeeded()

    def reset(self) -> None:
        """Close the breaker and forget every error."""
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
                logger.error(
                    "%s is unavailable (%s): circuit breaker open, one probe every %g s", self.name, error, self.pause
                )
            if opens:
                self._probe_at = time.monotonic() + self.pause

    def _succeeded(self) -> None:
        with self._lock:
            if self._probe_at is not None:
                logger.warning("%s is available again", self.name)
            self._failures, self._probe_at = 0, None


# One for every use of Redis in this process: after an error in rate limiting, streaks do not wait for Redis either.
REDIS = Breaker("redis", errors=(redis.RedisError, OSError), timeouts=(redis.TimeoutError, TimeoutError))
