"""The relay as a thread of a web process, restarted in every process that is forked from it."""

import logging
import os
import threading
from multiprocessing.util import Finalize

from actions.relay.relay import STOP_TIMEOUT_SECONDS, Relay
from ccweb.api.restored import RestoredDatabase

FORK_TIMEOUT_SECONDS = 5.0  # for the current batch, before a fork
logger = logging.getLogger(__name__)


def _run(relay: Relay) -> None:
    try:
        relay.run()
    except RestoredDatabase as error:
        logger.error("the relay of this process has ended, nothing is published: %s", error)


class RelayThread:
    """Runs a relay until its process ends."""

    def __init__(self) -> None:
        self._paused = False
        # The last one is of this process. Inherited ones are kept, because their producers must not be closed here.
        self._relays: list[Relay] = []
        self._start()
        os.register_at_fork(before=self._pause, after_in_parent=self._resume, after_in_child=self._start)

    def _start(self) -> None:
        self._relays.append(Relay())
        self._thread = threading.Thread(target=_run, args=self._relays[-1:], name="relay", daemon=True)
        self._thread.start()
        Finalize(None, self._stop, exitpriority=10)  # atexit does not run in the workers of granian

    def _pause(self) -> None:
        """Wait for the current step: a fork during a database call would leave a lock in the child locked forever."""
        self._paused = self._relays[-1].step_lock.acquire(timeout=FORK_TIMEOUT_SECONDS)

    def _resume(self) -> None:
        if self._paused:
            self._relays[-1].step_lock.release()

    def _stop(self) -> None:
        """Wait for the current batch at the end of the process, so that it is not published twice."""
        self._relays[-1].stop.set()
        self._thread.join(STOP_TIMEOUT_SECONDS + 1)
        logger.info("the relay thread has finished, %d messages delivered", self._relays[-1].delivered)
