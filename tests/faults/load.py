"""Clients that keep sending requests during a fault and record every response."""

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

REQUEST_TIMEOUT_SECONDS = 30  # a request that takes longer is hung
RETRY_INTERVAL_SECONDS = 0.05  # after an error; more requests would only be more to send again
MAX_LOAD_SECONDS = 120


class Sample(NamedTuple):
    """A request: its path, its start (time.monotonic), its duration, and its status or type of error."""

    path: str
    begun: float
    seconds: float
    status: int | str


class Load:
    """`writers` threads post actions with new event_ids, two threads request the probes, until the block ends."""

    def __init__(self, stack: Stack, *, writers: int = 8) -> None:
        self.stack = stack
        self.samples: list[Sample] = []
        self.sent: dict[str, int | str] = {}  # event_id to status
        self._end = threading.Event()
        jobs = [self._write] * writers + [lambda: self._probe("/healthz"), lambda: self._probe("/readyz")]
        self._threads = [threading.Thread(target=self._repeat, args=[job], daemon=True) for job in jobs]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(REQUEST_TIMEOUT_SECONDS + 5)

    def wait_for_success(self) -> float:
        """Wait until an action that is sent from now on is stored; returns the seconds that took."""
        begun = time.monotonic()
        while not any(s.status == 201 and s.begun >= begun for s in self.samples[-50:]):
            assert time.monotonic() < begun + REQUEST_TIMEOUT_SECONDS, (
                f"nothing was stored for {REQUEST_TIMEOUT_SECONDS} s"
            )
            time.sleep(0.01)
        return time.monotonic() - begun

    def between(self, begin: float, end: float, path: str = "/api/actions") -> list[Sample]:
        """The requests that were started in a period."""
        return [sample for sample in self.samples if sample.path == path and begin <= sample.begun < end]

    def check_stored_once(self) -> None:
        """Send unacknowledged actions again, then assert that each is stored exactly once and no other is."""
        bound = time.monotonic() + MAX_LOAD_SECONDS
        while unknown := [event_id for event_id, status in self.sent.items() if status not in (200, 201)]:
            assert time.monotonic() < bound, Counter(self.sent.values())
            for event_id in unknown:
                self.sent[event_id] = self._send(event_id)
        with psycopg.connect(self.stack.database_url) as database:
            stored = {str(row[0]) for row in database.execute("SELECT event_id FROM user_actions")}
        assert stored, "the checker finds no rows"
        assert stored == set(self.sent)

    def _repeat(self, job: Callable[[], None]) -> None:
        bound = time.monotonic() + MAX_LOAD_SECONDS
        while not self._end.is_set() and time.monotonic() < bound:
            job()

    def _write(self) -> None:
        event_id = str(uuid.uuid4())
        self.sent[event_id] = "unknown"
        self.sent[event_id] = self._send(event_id)
        if self.sent[event_id] != 201:
            self._end.wait(RETRY_INTERVAL_SECONDS)

    def _send(self, event_id: str) -> int | str:
        body = {"user_id": 1 + hash(event_id) % 1000, "action_type": "login", "event_id": event_id}
        return self._call("POST", "/api/actions", body)

    def _probe(self, path: str) -> None:
        self._call("GET", path)
        self._end.wait(0.1)

    def _call(self, method: str, path: str, body: Any = None) -> int | str:
        begun = time.monotonic()
        try:
            status: int | str = call(self.stack.web.address, method, path, body, timeout=REQUEST_TIMEOUT_SECONDS).status
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
        self.samples.append(Sample(path, begun, time.monotonic() - begun, status))
        return status


@contextmanager
def period() -> Iterator[list[float]]:
    """The times (time.monotonic) of the start and, when it has ended, the end of the block."""
    moments = [time.monotonic()]
    yield moments
    moments.append(time.monotonic())


def figures(samples: list[Sample]) -> str:
    """The number, the longest duration and the statuses of requests, as text."""
    longest = max((sample.seconds for sample in samples), default=0)
    return f"{len(samples)} requests, longest {longest:.2f} s, {dict(Counter(s.status for s in samples))}"
