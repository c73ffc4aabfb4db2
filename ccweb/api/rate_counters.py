"""Exact limits: fixed clock windows, counted for all processes in Redis by one atomic call.

DRF's throttles read, compare and write in three steps, so under load they let several times the limit through.
"""

import collections
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from prometheus_client import Counter

from ccweb.redis.circuit_breaker import DependencyUnavailable
from ccweb.redis.client import Call, CommandRefused, run_script, run_scripts

logger = logging.getLogger(__name__)
COUNTED_LOCALLY = Counter("ccweb_limits_counted_locally", "Requests counted by one process alone, Redis being away.")
# Of ARGV[1] requests that are alike, lets through as many as all of KEYS have room for, and counts those in each.
# Returns how many, and the counts. The rest of ARGV: for each key its limit and its seconds to live.
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
    """At most `most` in each window of `seconds`, for one `who`."""

    name: str
    who: str
    most: int
    seconds: int = 60

    def counter(self, now: float) -> str:
        """The name of the counter of the window that `now` (Unix seconds) is in."""
        return f"ccweb:limit:{self.name}:{self.who}:{int(now) // self.seconds}"


class LimitStatus(NamedTuple):
    """Whether a request passed, and where its limits stand; `local` when this process alone counted."""

    passed: bool
    limits: Sequence[Limit]
    counts: Sequence[int]
    at: float
    local: bool

    def left(self) -> list[int]:
        """How many more pass in this window, a limit each."""
        return [max(0, limit.most - count) for limit, count in zip(self.limits, self.counts, strict=True)]

    def reset(self, limit: Limit) -> int:
        """Whole seconds, at least 1, until a window ends."""
        return limit.seconds - int(self.at) % limit.seconds


def consume(limits: Sequence[Limit]) -> LimitStatus:
    """Count one request in all limits, or in none when one of them is used up; Redis away is counted locally."""
    return consume_each([limits])[0][0]


def consume_each(requests: Sequence[Sequence[Limit]], *calls: Call) -> tuple[list[LimitStatus], list[Any]]:
    """The same for several requests, and what Redis answers to other scripts by the same round trip; nothing when away.

    Requests with the same limits are counted by one call; of those the first ones pass.
    """
    now = time.time()
    groups = [EqualRequests(limits, alike, now) for limits, alike in collections.Counter(map(tuple, requests)).items()]
    try:
        found = run_scripts([*(each.call() for each in groups), *calls])
    except DependencyUnavailable as error:
        found = [error] * len(groups)
    statuses = {each.limits: each.statuses(said) for each, said in zip(groups, found, strict=False)}
    return [next(statuses[tuple(limits)]) for limits in requests], found[len(groups) :]


class EqualRequests(NamedTuple):
    """A number of requests that are alike: at one moment, in the same limits."""

    limits: tuple[Limit, ...]
    requests: int
    at: float

    @property
    def counters(self) -> list[str]:
        """The names of the counters, a limit each."""
        return [limit.counter(self.at) for limit in self.limits]

    def call(self) -> Call:
        """For Redis."""
        # Twice the window: servers whose clocks differ a little still meet in the same counter.
        arguments = [n for limit in self.limits for n in (limit.most, 2 * limit.seconds)]
        return Call(CONSUME, self.counters, [self.requests, *arguments])

    def statuses(self, said: Sequence[int] | Exception) -> Iterator[LimitStatus]:
        """One for each request, from what CONSUME returned; counted here when Redis is away or refuses."""
        local = isinstance(said, Exception)
        passed, *counts = LOCAL.consume(self) if isinstance(said, Exception) else said
        for later in reversed(range(passed)):
            yield LimitStatus(True, self.limits, [count - later for count in counts], self.at, local)
        for _ in range(self.requests - passed):
            yield LimitStatus(False, self.limits, counts, self.at, local)


def refund(status: LimitStatus) -> None:
    """Undo a take: what it counted turned out to be harmless."""
    names = [limit.counter(status.at) for limit in status.limits]
    try:
        run_script(Call(REFUND, names))
    except (DependencyUnavailable, CommandRefused):
        LOCAL.refund(names)


class LocalCounters:
    """The same counting in this process alone, while Redis is away: a limit a process, never none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # count and the Unix second it may be forgotten
        self._warned_until = 0.0

    def consume(self, consume: EqualRequests) -> list[int]:
        """As the script returns it: how many passed, then the counts."""
        COUNTED_LOCALLY.inc(consume.requests)
        with self._lock:
            self._warn(consume.at)
            self._forget(consume.at)
            counts = [self._counts.get(name, (0, 0.0))[0] for name in consume.counters]
            room = min(limit.most - count for count, limit in zip(counts, consume.limits, strict=True))
            passed = max(0, min(room, consume.requests))
            for name, count, limit in zip(consume.counters, counts, consume.limits, strict=True):
                self._counts[name] = count + passed, consume.at + limit.seconds
            return [passed, *(count + passed for count in counts)]

    def refund(self, names: list[str]) -> None:
        """EqualRequests one off each."""
        with self._lock:
            for name in names:
                count, until = self._counts.get(name, (0, 0.0))
                if count:
                    self._counts[name] = count - 1, until

    def _warn(self, now: float) -> None:
        if now >= self._warned_until:
            logger.warning("Redis is away: each process counts the limits alone, so more may pass than they say")
            self._warned_until = now + 60

    def _forget(self, now: float) -> None:
        if len(self._counts) >= LOCAL_KEYS:
            self._counts = {name: kept for name, kept in self._counts.items() if kept[1] > now}


LOCAL = LocalCounters()
