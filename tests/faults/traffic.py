"""Clients that post actions during a fault, record every response, and retry when the outcome is unknown."""

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

REQUEST_TIMEOUT_SECONDS = 30  # the outcome of a request that takes longer is unknown
RETRY_TIMEOUT_SECONDS = 90  # after the end of the block, for actions whose outcome is unknown
RETRY_INTERVAL_SECONDS = 0.05


class Attempt(NamedTuple):
    """A request: its start (time.monotonic), its duration, and its status or type of error."""

    begun: float
    seconds: float
    status: int | str


@dataclass
class Sent:
    """An action and the attempts to send it."""

    event_id: str
    user_id: int
    value: str
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """acked (committed), refused (not stored) or unknown, by the last response."""
        status = self.attempts[-1].status if self.attempts else "none"
        if status in (200, 201):
            return "acked"
        return "refused" if isinstance(status, int) and 400 <= status < 500 else "unknown"

    @property
    def begun(self) -> float:
        """The start of the first attempt."""
        return self.attempts[0].begun

    @property
    def ended(self) -> float:
        """The end of the last attempt."""
        return self.attempts[-1].begun + self.attempts[-1].seconds

    def body(self) -> dict[str, Any]:
        """The request body, the same for every attempt."""
        return {"event_id": self.event_id, "user_id": self.user_id, "action_type": "purchase", "value": self.value}


class Traffic:
    """`clients` threads post actions of a few users until the block ends, at most `rate` per second in total."""

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
        self._give_up_at = time.monotonic() + RETRY_TIMEOUT_SECONDS
        self._end.set()
        for thread in self._threads:
            thread.join(RETRY_TIMEOUT_SECONDS + REQUEST_TIMEOUT_SECONDS)

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts of all actions."""
        return [attempt for sent in list(self.sent) for attempt in list(sent.attempts)]

    def between(self, begin: float, end: float) -> list[Attempt]:
        """The attempts that were started in a period."""
        return [attempt for attempt in self.attempts if begin <= attempt.begun < end]

    def wait_for_ack(self, since: float | None = None) -> float:
        """Wait until an action that was sent after `since` (default: now) is acked; returns the time of that."""
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
            time.sleep(RETRY_INTERVAL_SECONDS)


def attempt(address: str, body: Any) -> Attempt:
    """Post an action once; errors are recorded, not raised."""
    begun = time.monotonic()
    try:
        status: int | str = call(address, "POST", "/api/actions", body, timeout=REQUEST_TIMEOUT_SECONDS).status
    except (OSError, http.client.HTTPException) as error:
        status = type(error).__name__
    return Attempt(begun, time.monotonic() - begun, status)


def statuses(attempts: list[Attempt]) -> dict[str, int]:
    """The number of attempts by status or type of error."""
    return dict(Counter(str(attempt.status) for attempt in attempts))


def percentile(values: list[float], share: float) -> float:
    """The value that the given share (0..1) of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
