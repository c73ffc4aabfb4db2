"""Is the process alive, and can it work?"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from ccweb.probing import ask_database, ask_kafka, ask_redis

State = dict[str, Any]


def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: the process answers; no I/O."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Readiness: 503 without the database; without Redis or Kafka the system works on, so 200 and "degraded"."""
    with ThreadPoolExecutor(2) as pool:
        redis, kafka = pool.submit(state, ask_redis), pool.submit(state, ask_kafka)
        # Here and not in the pool, whose threads would open connections and leave them.
        states = {"database": state(ask_database), "redis": redis.result(), "kafka": kafka.result()}
    if states["database"]["status"] != "ok":
        overall = "down"
    else:
        overall = "ok" if all(found["status"] == "ok" for found in states.values()) else "degraded"
    status = 503 if overall == "down" else 200
    return JsonResponse({"status": overall, **states}, status=status, headers={"Cache-Control": "no-store"})


def state(ask: Callable[[], None]) -> State:
    """{status, ms}, and what went wrong by the kind of error: its text may name hosts and users."""
    begun = time.perf_counter()
    try:
        ask()
        found = {"status": "ok"}
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the answer
        found = {"status": "away", "error": type(error).__name__}
    return found | {"ms": round((time.perf_counter() - begun) * 1000, 1)}
