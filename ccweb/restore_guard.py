"""Ends a web worker on a restored database: at its start or, if the database is away then, once it answers."""

import os
import threading
import time

from django.db import DatabaseError, connection

from ccweb.api.restored import RestoredDatabase, refuse_restored
from ccweb.server.worker import give_up

INTERVAL_SECONDS = 1.0  # between two questions


def end_on_restored_database() -> None:
    """Print one line and end this worker and its server if the database was restored. No request waits for it."""
    if not _is_answered():
        threading.Thread(target=_ask_until_answered, name="restore guard", daemon=True).start()


def _is_answered() -> bool:
    """False when the database is away or not migrated yet; does not return on a restored one."""
    try:
        refuse_restored()
    except RestoredDatabase as error:
        give_up(f"ccweb: {error}")
    except DatabaseError:  # requests are answered with 503, and logged
        return False
    finally:
        connection.close()
    return True


def _ask_until_answered() -> None:
    try:
        while not _is_answered():
            time.sleep(INTERVAL_SECONDS)
    except SystemExit:  # ends this thread only
        os._exit(1)
