"""The relay as a thread of the web process, and of every process forked from it."""

import logging
import os
import threading
from multiprocessing.util import Finalize

from actions.relay.relay import STOP_TIMEOUT_SECONDS, Relay

FORK_TIMEOUT_SECONDS = 5.0  # seconds that a fork waits for the batch in hand
logger = logging.getLogger(__name__)


class RelayThread:
    """Runs a relay until its process ends."""

    def __init__(self) -> None:
        self._paused = False
        self._relays: list[Relay] = []  # the last is ours; an inherited one is kept, as its producer must not be closed
        self._start()
        os.register_at_fork(before=self._pause, after_in_parent=self._go_on, after_in_child=self._start)

    def _start(self) -> None:
        self._relays.append(Relay())
        self._thread = threading.Thread(target=self._relays[-1].run, name="relay", daemon=True)
        self._thread.start()
        Finalize(None, self._finish, exitpriority=10)  # atexit never runs in the workers of granian

    def _pause(self) -> None:
        """A fork in the middle of a database call would leave the child with a lock that nobody opens."""
        self._paused = self._relays[-1].working.acquire(timeout=FORK_TIMEOUT_SECONDS)

    def _go_on(self) -> None:
        if self._paused:
            self._relays[-1].working.release()

    def _finish(self) -> None:
        """An orderly end of the process lets the batch in hand arrive, so that it does not come twice."""
        self._relays[-1].stop.set()
        self._thread.join(STOP_TIMEOUT_SECONDS + 1)
        logger.info("the relay thread has finished, %d messages delivered", self._relays[-1].delivered)
