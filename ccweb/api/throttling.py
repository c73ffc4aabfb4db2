"""Exact limits: fixed clock windows, counted for all processes in Redis by one atomic call.

DRF's throttles read, compare and write in three steps, so under load they let several times the limit through.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from prometheus_client import Counter

from ccweb.api.breaker import Away
from ccweb.api.redis_calls import Call, Refused, answer, run_script, run_scripts

log = logging.getLogger(__name__)
COUNTED_LOCALLY = Counter("ccweb_limits_counted_locally", "Requests counted by one process alone, Redis being away.")
# Counts in all of KEYS or, when one of them is full, in none. ARGV: for each key its limit and its seconds to live.
TAKE = """
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = tonumber(redis.call('GET', key) or 0)
end
for i = 1, #KEYS do
  if counts[i] >= tonumber(ARGV[2 * i - 1]) then
    return {0, unpack(counts)}
  end
end
for i, key in ipairs(KEYS) do
  counts[i] = redis.call('INCR', key)
  redis.call('EXPIRE', key, ARGV[2 * i])
end
return {1, unpack(counts)}
"""
GIVE_BACK = """
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


class Verdict(NamedTuple):
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


def take(limits: Sequence[Limit]) -> Verdict:
    """Count one request in all limits, or in none when one of them is used up; Redis away is counted locally."""
    return take_and_ask(limits)[0]


def take_and_ask(limits: Sequence[Limit], *calls: Call) -> tuple[Verdict, list[Any]]:
    """The same, and what Redis answers to other scripts by the same round trip; nothing when it is away."""
    now = time.time()
    names = [limit.counter(now) for limit in limits]
    # Twice the window: servers whose clocks differ a little still meet in the same counter.
    arguments = [n for limit in limits for n in (limit.most, 2 * limit.seconds)]
    others: list[Any] = []
    try:
        taken, *others = run_scripts([Call(TAKE, names, arguments), *calls])
        passed, *counts = answer(taken)
        local = False
    except (Away, Refused):
        passed, *counts = LOCAL.take(names, limits, now)
        local = True
    return Verdict(bool(passed), limits, counts, now, local), others


def give_back(verdict: Verdict) -> None:
    """Undo a take: what it counted turned out to be harmless."""
    names = [limit.counter(verdict.at) for limit in verdict.limits]
    try:
        run_script(Call(GIVE_BACK, names))
    except (Away, Refused):
        LOCAL.give_back(names)


class LocalCounters:
    """The same counting in this process alone, while Redis is away: a limit a process, never none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # count and the Unix second it may be forgotten
        self._warned_until = 0.0

    def take(self, names: list[str], limits: Sequence[Limit], now: float) -> list[int]:
        """As the script returns it: 1 or 0, then the counts."""
        COUNTED_LOCALLY.inc()
        with self._lock:
            self._warn(now)
            self._forget(now)
            counts = [self._counts.get(name, (0, 0.0))[0] for name in names]
            if any(count >= limit.most for count, limit in zip(counts, limits, strict=True)):
                return [0, *counts]
            for name, count, limit in zip(names, counts, limits, strict=True):
                self._counts[name] = count + 1, now + limit.seconds
            return [1, *(count + 1 for count in counts)]

    def give_back(self, names: list[str]) -> None:
        """Take one off each."""
        with self._lock:
            for name in names:
                count, until = self._counts.get(name, (0, 0.0))
                if count:
                    self._counts[name] = count - 1, until

    def _warn(self, now: float) -> None:
        if now >= self._warned_until:
            log.warning("Redis is away: each process counts the limits alone, so more may pass than they say")
            self._warned_until = now + 60

    def _forget(self, now: float) -> None:
        if len(self._counts) >= LOCAL_KEYS:
            self._counts = {name: kept for name, kept in self._counts.items() if kept[1] > now}


LOCAL = LocalCounters()
