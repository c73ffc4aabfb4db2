"""/healthz (liveness) and /readyz (readiness), with one function for each dependency."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_redis import get_redis_connection

from actions.kafka.errors import NotDelivered
from actions.kafka.probe import ask_kafka
from ccweb.request.deadline import within

CAP_SECONDS = 0.5  # limit of each check

State = dict[str, Any]


def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: the process answers; no I/O."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Readiness: 503 without the database; 200 and "degraded" without Redis or Kafka, which are optional."""
    with ThreadPoolExecutor(2) as pool:
        redis, kafka = pool.submit(state, ask_redis), pool.submit(state, ask_kafka)
        # Not in the pool, whose threads would open database connections and leave them open.
        states = {"database": state(ask_database), "redis": redis.result(), "kafka": kafka.result()}
    if states["database"]["status"] != "ok":
        overall = "down"
    else:
        overall = "ok" if all(found["status"] == "ok" for found in states.values()) else "degraded"
    status = 503 if overall == "down" else 200
    return JsonResponse({"status": overall, **states}, status=status, headers={"Cache-Control": "no-store"})


def state(ask: Callable[[], None], *, in_full: bool = False) -> State:
    """{status, ms} and, on failure, the class of the error: its text may contain hosts and users.

    Of Kafka also `detail`, which contains none, or `in_full` what the client complains of: for staff.
    """
    begun = time.perf_counter()
    try:
        ask()
        found = {"status": "ok"}
    except Exception as error:  # noqa: BLE001 - every error is reported in the answer
        found = {"status": "away", "error": type(error).__name__}
        if isinstance(error, NotDelivered):
            found["detail"] = str(error) if in_full else error.summary
    return found | {"ms": round((time.perf_counter() - begun) * 1000, 1)}


def ask_database() -> None:
    """A query on the connection of the request's thread; raises DatabaseError, in a web worker after CAP_SECONDS."""
    with within(CAP_SECONDS), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def ask_redis() -> None:
    """PING; raises RedisError. The client's own timeouts are shorter than CAP_SECONDS."""
    get_redis_connection().ping()
