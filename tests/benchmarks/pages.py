"""Response times of list pages at several sizes of the table: the first page, a deep one, one of an active user."""

import time
from statistics import median
from urllib.parse import urlsplit

from tests.benchmarks.rig import Rig, create_key
from tests.support.deployment import Stack, call

PATHS = {"first page": "/api/actions", "page of one user": "/api/actions?user_id=1"}
DEPTH = 50  # pages of 1,000


def page_costs(rig: Rig, url: str) -> dict[str, float]:
    """The median response time of each kind of page, in milliseconds."""
    stack = rig.ours(url, redis_database=2)
    headers = {"X-Forwarded-Proto": "https", "Authorization": f"Api-Key {create_key(stack)}"}
    with stack.web:
        paths = PATHS | {f"page after {DEPTH},000": _deep(stack, headers)}
        return {name: _cost(stack, path, headers) for name, path in paths.items()}


def _deep(stack: Stack, headers: dict[str, str]) -> str:
    path = "/api/actions?page_size=1000"
    for _ in range(DEPTH):
        path = _target(stack.call("GET", path, headers=headers).json()["next"])
    return path.replace("page_size=1000", "page_size=100")


def _target(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def _cost(stack: Stack, path: str, headers: dict[str, str]) -> float:
    spent = []
    for _ in range(40):
        begin = time.perf_counter()
        answer = call(stack.web.address, "GET", path, headers=headers)
        spent.append(1000 * (time.perf_counter() - begin))
        if answer.status != 200 or not answer.json()["results"]:
            raise RuntimeError(f"{path} was answered with {answer.status}: {answer.body[:200]!r}")
    return median(spent)
