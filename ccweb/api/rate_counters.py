"""Exact rate limits: fixed clock windows, counted for all processes in Redis by one atomic script.

DRF's throttles read, compare and write in three steps, so under load they allow several times the limit.
"""

import collections
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from prometheus_client import Counter

from ccweb.db.steps import Scripts, Steps, run
from ccweb.redis.circuit_breaker import DependencyUnavailable
from ccweb.redis.client import Call, CommandRefused, run_script

logger = logging.getLogger(__name__)
COUNTED_LOCALLY = Counter(
    "ccweb_limits_counted_locally", "Requests counted by one process alone because Redis did not answer."
)
# KEYS: the counters of the limits. ARGV: the number of equal requests, then for each key its limit and its seconds to
# live. Allows as many of the requests as all limits permit and adds them to each counter. Returns how many passed, and
# the counts.
CONSUME = """
local passed = tonumber(ARGV[1])
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = tonumber(redis.call('GET', key) or 0)
  passed = math.min(passed, ARGV[2 * i] - counts[i])
end
if passed <= 0 then
  return {0, unpack(counts)}
end
for i, key in ipairs(KEYS) do
  counts[i] = redis.call('INCRBY', key, passed)
  redis.call('EXPIRE', key, ARGV[2 * i + 1])
end
return {passed, unpack(counts)}
"""
REFUND = """
for _, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    redis.call('DECR', key)
  end
end
"""
LOCAL_KEYS = 10_000


class Limit(NamedTuple):
    """At most `most` requests in each window of `seconds` for one client `who`."""

    name: str
    who: str
    most: int
    seconds: int = 60

    def counter(self, now: float) -> str:
        """The Redis key of the counter for the window that contains `now` (Unix seconds)."""
        return f"ccweb:limit:{self.name}:{self.who}:{int(now) // self.seconds}"


class LimitStatus(NamedTuple):
    """Whether a request passed, and the counts of its limits; `local` when only this process counted."""

    passed: bool
    limits: Sequence[Limit]
    counts: Sequence[int]
    at: float
    local: bool

    def left(self) -> list[int]:
        """How many more requests pass in this window, for each limit."""
        left = [limit.most - count for limit, count in zip(self.limits, self.counts, strict=True)]
        return left if min(left) >= 0 else [max(0, number) for number in left]

    def reset(self, limit: Limit) -> int:
        """Whole seconds, at least 1, until the limit's window ends."""
        return limit.seconds - int(self.at) % limit.seconds


def consume(limits: Sequence[Limit]) -> LimitStatus:
    """Count one request in all limits, or in none when one is exceeded; counts locally when Redis is unavailable."""
    return run(consume_steps([limits]))[0][0]


def consume_steps(requests: Sequence[Sequence[Limit]], *calls: Call) -> Steps[tuple[list[LimitStatus], Sequence[Any]]]:
    """Count several requests and run other scripts in the same round trip; returns statuses and the scripts' replies.

    Requests with the same limits are counted by one call; the first ones pass. No replies when Redis is unavailable.
    """
    now = time.time()
    groups = [EqualRequests(limits, count, now) for limits, count in collections.Counter(map(tuple, requests)).items()]
    try:
        found: Sequence[Any] = yield Scripts([*(each.call() for each in groups), *calls])
    except DependencyUnavailable as error:
        found = [error] * len(groups)
    statuses = {each.limits: each.statuses(reply) for each, reply in zip(groups, found, strict=False)}
    return [next(statuses[tuple(limits)]) for limits in requests], found[len(groups) :]


class EqualRequests(NamedTuple):
    """A number of requests that arrive at the same time and count in the same limits."""

    limits: tuple[Limit, ...]
    requests: int
    at: float

    @property
    def counters(self) -> list[str]:
        """The Redis keys of the counters, one for each limit."""
        return [limit.counter(self.at) for limit in self.limits]

    def call(self) -> Call:
        """The call of CONSUME."""
        # Expire after twice the window: servers whose clocks differ slightly still use the same counter.
        arguments = [n for limit in self.limits for n in (limit.most, 2 * limit.seconds)]
        return Call(CONSUME, self.counters, [self.requests, *arguments])

    def statuses(self, reply: Sequence[int] | Exception) -> Iterator[LimitStatus]:
        """One status for each request, from the reply of CONSUME; counted locally when that is an error."""
        local = isinstance(reply, Exception)
        passed, *counts = LOCAL.consume(self) if isinstance(reply, Exception) else reply
        for later in reversed(range(passed)):
            yield LimitStatus(True, self.limits, [count - later for count in counts], self.at, local)
        for _ in range(self.requests - passed):
            yield LimitStatus(False, self.limits, counts, self.at, local)


def refund(status: LimitStatus) -> None:
    """Undo `consume` for a request that should not count."""
    names = [limit.counter(status.at) for limit in status.limits]
    try:
        run_script(Call(REFUND, names))
    except (DependencyUnavailable, CommandRefused):
        LOCAL.refund(names)


class LocalCounters:
    """Counts in this process alone while Redis is unavailable: each process then allows the full limit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # count, and its expiry in Unix seconds
        self._warned_until = 0.0

    def consume(self, group: EqualRequests) -> list[int]:
        """How many passed, then the counts, as CONSUME returns them."""
        COUNTED_LOCALLY.inc(group.requests)
        with self._lock:
            self._warn(group.at)
            self._drop_expired(group.at)
            counts = [self._counts.get(name, (0, 0.0))[0] for name in group.counters]
            room = min(limit.most - count for count, limit in zip(counts, group.limits, strict=True))
            passed = max(0, min(room, group.requests))
            for name, count, limit in zip(group.counters, counts, group.limits, strict=True):
                self._counts[name] = count + passed, group.at + limit.seconds
            return [passed, *(count + passed for count in counts)]

    def refund(self, names: list[str]) -> None:
        """Subtract one request from each counter."""
        with self._lock:
            for name in names:
                count, until = self._counts.get(name, (0, 0.0))
                if count:
                    self._counts[name] = count - 1, until

    def _warn(self, now: float) -> None:
        if now >= self._warned_until:
            logger.warning(
                "Redis does not count: each process counts rate limits alone, so more requests may pass than allowed"
            )
            self._warned_until = now + 60

    def _drop_expired(self, now: float) -> None:
        if len(self._counts) >= LOCAL_KEYS:
            self._counts = {name: kept for name, kept in self._counts.items() if kept[1] > now}


LOCAL = LocalCounters()
