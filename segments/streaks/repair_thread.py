"""The thread of a web process that makes good what an outage left behind."""

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
    """Start the keeper of this process; it ends with it."""
    threading.Thread(target=_loop, name="streaks", daemon=True).start()


def look_back() -> None:
    """Owe the users of the last 20,000 actions: a process killed before this one may have counted some of them not."""
    last = UserAction.objects.order_by("-id").values_list("id", flat=True).first() or 0
    recent = UserAction.objects.filter(id__gt=last - RECENT_ACTIONS).order_by()
    user_ids = recent.values_list("user_id", flat=True).distinct()
    PENDING_REPAIRS.add(user_ids)


def step() -> None:
    """One round: write what is owed, rebuild when Redis was emptied."""
    store.is_complete()  # through the requests' circuit breaker: raises DependencyUnavailable while Redis is away
    with background_timeouts():
        while PENDING_REPAIRS:
            PENDING_REPAIRS.repair_some()
        if not store.is_complete():
            _rebuild()


def _rebuild() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")  # the web process has one for its requests
    rebuild()


def _loop() -> None:
    pause = threading.Event()
    looked_back, said = False, ""
    while not pause.wait(INTERVAL_SECONDS):
        try:
            if not looked_back:
                look_back()
                looked_back = True
            step()
            said = ""
        except (DependencyUnavailable, CommandRefused, RebuildFailed, DatabaseError) as error:
            if str(error) != said:  # once, not every second
                said = str(error)
                logger.warning("the streaks are not complete yet: %s", error)
        except Exception:
            logger.exception("the keeper of the streaks failed; it goes on in a moment")
        finally:
            connection.close()
