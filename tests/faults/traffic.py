"""Clients that post actions through a fault, remember every answer, and send again what they are in doubt about."""

import http.client
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, Self

from tests.support.deployment import call
from tests.support.os_processes import wait_for

PATIENCE = 30  # seconds: a request that takes longer counts as unknown
STUBBORN = 90  # seconds after the end in which a client still sends again what it is in doubt about
PROBE_INTERVAL_SECONDS = 0.05  # seconds before it does


class Attempt(NamedTuple):
    """One request: when it began (time.monotonic), how long it took, its status or the kind of error."""

    begun: float
    seconds: float
    status: int | str


@dataclass
class Sent:
    """One action and what became of it."""

    event_id: str
    user_id: int
    value: str
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """acked (committed), refused (not stored) or unknown; the last answer says which."""
        status = self.attempts[-1].status if self.attempts else "none"
        if status in (200, 201):
            return "acked"
        return "refused" if isinstance(status, int) and 400 <= status < 500 else "unknown"

    @property
    def begun(self) -> float:
        """When it was sent for the first time."""
        return self.attempts[0].begun

    @property
    def ended(self) -> float:
        """When its last answer came."""
        return self.attempts[-1].begun + self.attempts[-1].seconds

    def body(self) -> dict[str, Any]:
        """What is posted, the same at every attempt."""
        return {"event_id": self.event_id, "user_id": self.user_id, "action_type": "purchase", "value": self.value}


class Traffic:
    """`clients` threads post actions of a few shared users until the block ends, `rate` a second altogether at most."""

    def __init__(
        self, address: Callable[[], str] | str, *, seed: int, clients: int = 8, users: int = 12, rate: float = 120
    ) -> None:
        self.sent: list[Sent] = []
        self._address = address if callable(address) else lambda: address
        self._choose = random.Random(seed)
        self._users, self._gap = users, clients / rate
        self._numbers = count(1)
        self._end = threading.Event()
        self._give_up_at = float("inf")
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_up_at = time.monotonic() + STUBBORN
        self._end.set()
        for thread in self._threads:
            thread.join(STUBBORN + PATIENCE)

    @property
    def attempts(self) -> list[Attempt]:
        """All requests."""
        return [attempt for sent in list(self.sent) for attempt in list(sent.attempts)]

    def between(self, begin: float, end: float) -> list[Attempt]:
        """The requests that began in a period."""
        return [attempt for attempt in self.attempts if begin <= attempt.begun < end]

    def wait_for_ack(self, since: float | None = None) -> float:
        """Wait until an action that was sent after `since` (default: now) is acked; returns its moment."""
        since = time.monotonic() if since is None else since

        def first() -> list[float]:
            recent = self.attempts[-300:]
            return [a.begun + a.seconds for a in recent if a.begun >= since and a.status in (200, 201)]

        wait_for(lambda: bool(first()), "an acknowledged action")
        return min(first())

    def _run(self) -> None:
        while not self._end.is_set():
            due = time.monotonic() + self._gap
            self._post(self._new())
            self._end.wait(max(0.0, due - time.monotonic()))

    def _new(self) -> Sent:
        number = next(self._numbers)
        user_id = self._choose.randrange(self._users) + 1
        sent = Sent(str(uuid.uuid4()), user_id, f"{number // 100}.{number % 100:02}")
        self.sent.append(sent)
        return sent

    def _post(self, sent: Sent) -> None:
        while True:
            sent.attempts.append(attempt(self._address(), sent.body()))
            if sent.verdict != "unknown" or time.monotonic() > self._give_up_at:
                return
            time.sleep(PROBE_INTERVAL_SECONDS)


def attempt(address: str, body: Any) -> Attempt:
    """Posts an action once; whatever happens is an Attempt."""
    begun = time.monotonic()
    try:
        status: int | str = call(address, "POST", "/api/actions", body, timeout=PATIENCE).status
    except (OSError, http.client.HTTPException) as error:
        status = type(error).__name__
    return Attempt(begun, time.monotonic() - begun, status)


def statuses(attempts: list[Attempt]) -> dict[str, int]:
    """How often each status or kind of error came."""
    return dict(Counter(str(attempt.status) for attempt in attempts))


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0..1) of them do not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
