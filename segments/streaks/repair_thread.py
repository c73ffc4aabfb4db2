"""The thread of a web process that writes the streaks that an outage left pending, and rebuilds them if needed."""

import logging
import threading

from django.db import DatabaseError, connection

from actions.models import UserAction
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments.streaks import store
from segments.streaks.rebuild import RebuildFailed, rebuild
from segments.streaks.redis_connection import CommandRefused, background_timeouts
from segments.streaks.update import PENDING_REPAIRS

logger = logging.getLogger(__name__)
INTERVAL_SECONDS = 1.0
RECENT_ACTIONS = 20_000


def start_thread() -> None:
    """Start the repair thread of this process. It is a daemon thread: it ends with the process."""
    threading.Thread(target=_loop, name="streaks", daemon=True).start()


def look_back() -> None:
    """Add the users of the last 20,000 actions: a process that was killed may have missed some of them."""
    last = UserAction.objects.order_by("-id").values_list("id", flat=True).first() or 0
    recent = UserAction.objects.filter(id__gt=last - RECENT_ACTIONS).order_by()
    user_ids = recent.values_list("user_id", flat=True).distinct()
    PENDING_REPAIRS.add(user_ids)


def step() -> None:
    """One round: write pending streaks, and rebuild all when Redis was emptied."""
    store.is_complete()  # by the requests' circuit breaker: raises DependencyUnavailable while Redis is away
    with background_timeouts():
        while PENDING_REPAIRS:
            PENDING_REPAIRS.repair_some()
        if not store.is_complete():
            _rebuild()


def _rebuild() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")  # the role may have one for requests
    rebuild()


def _loop() -> None:
    pause = threading.Event()
    has_looked_back, last_error = False, ""
    while not pause.wait(INTERVAL_SECONDS):
        try:
            if not has_looked_back:
                look_back()
                has_looked_back = True
            step()
            last_error = ""
        except (DependencyUnavailable, CommandRefused, RebuildFailed, DatabaseError) as error:
            if str(error) != last_error:  # logged once, not every second
                last_error = str(error)
                logger.warning("the streaks are not complete yet: %s", error)
        except Exception:
            logger.exception("the repair of streaks failed and is retried")
        finally:
            connection.close()
