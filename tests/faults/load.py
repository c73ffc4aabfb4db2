"""Clients that go on through a fault and remember every answer."""

import http.client
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import psycopg

from tests.support.deployment import Stack, call

PATIENCE = 30  # seconds: what takes longer is a hung request
PROBE_INTERVAL_SECONDS = 0.05  # seconds after a refusal: more would only be more to settle
BOUND = 120  # seconds that a load may last at most


class Sample(NamedTuple):
    """One request: the path, when it began (time.monotonic), how long it took, its status or the kind of error."""

    path: str
    begun: float
    seconds: float
    status: int | str


class Load:
    """`writers` post actions with event_ids of their own, two others ask the probes, until the block ends."""

    def __init__(self, stack: Stack, *, writers: int = 8) -> None:
        self.stack = stack
        self.samples: list[Sample] = []
        self.sent: dict[str, int | str] = {}  # event_id to status
        self._end = threading.Event()
        jobs = [self._write] * writers + [lambda: self._ask("/healthz"), lambda: self._ask("/readyz")]
        self._threads = [threading.Thread(target=self._repeat, args=[job], daemon=True) for job in jobs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE + 5)

    def wait_for_success(self) -> float:
        """Wait until an action that is sent from now on is stored; how many seconds that took."""
        begun = time.monotonic()
        while not any(s.status == 201 and s.begun >= begun for s in self.samples[-50:]):
            assert time.monotonic() < begun + PATIENCE, f"nothing was stored for {PATIENCE} s"
            time.sleep(0.01)
        return time.monotonic() - begun

    def between(self, begin: float, end: float, path: str = "/api/actions") -> list[Sample]:
        """The requests that began in a period."""
        return [sample for sample in self.samples if sample.path == path and begin <= sample.begun < end]

    def check_stored_once(self) -> None:
        """Send what was not acknowledged again, then compare: each event is stored exactly once, and no other."""
        bound = time.monotonic() + BOUND
        while unknown := [event_id for event_id, status in self.sent.items() if status not in (200, 201)]:
            assert time.monotonic() < bound, Counter(self.sent.values())
            for event_id in unknown:
                self.sent[event_id] = self._send(event_id)
        with psycopg.connect(self.stack.database_url) as database:
            stored = {str(row[0]) for row in database.execute("SELECT event_id FROM user_actions")}
        assert stored, "the checker sees no rows at all"
        assert stored == set(self.sent)

    def _repeat(self, job: Callable[[], None]) -> None:
        bound = time.monotonic() + BOUND
        while not self._end.is_set() and time.monotonic() < bound:
            job()

    def _write(self) -> None:
        event_id = str(uuid.uuid4())
        self.sent[event_id] = "unknown"
        self.sent[event_id] = self._send(event_id)
        if self.sent[event_id] != 201:
            self._end.wait(PROBE_INTERVAL_SECONDS)

    def _send(self, event_id: str) -> int | str:
        body = {"user_id": 1 + hash(event_id) % 1000, "action_type": "login", "event_id": event_id}
        return self._call("POST", "/api/actions", body)

    def _ask(self, path: str) -> None:
        self._call("GET", path)
        self._end.wait(0.1)

    def _call(self, method: str, path: str, body: Any = None) -> int | str:
        begun = time.monotonic()
        try:
            status: int | str = call(self.stack.web.address, method, path, body, timeout=PATIENCE).status
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
        self.samples.append(Sample(path, begun, time.monotonic() - begun, status))
        return status


@contextmanager
def period() -> Iterator[list[float]]:
    """The moments of entering and, at the end, leaving the block."""
    moments = [time.monotonic()]
    yield moments
    moments.append(time.monotonic())


def figures(samples: list[Sample]) -> str:
    """Count, longest answer and statuses in words."""
    longest = max((sample.seconds for sample in samples), default=0)
    return f"{len(samples)} requests, longest {longest:.2f} s, {dict(Counter(s.status for s in samples))}"
