"""The two requests that make nearly all of the traffic: what is taken from each, and how several are answered at once.

See ccweb.express, which takes the short way with them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rest_framework.exceptions import APIException

from actions.recording import record_actions
from actions.views import ActionViewSet
from ccweb.api.parsers import MAX_OBJECT_BYTES, parse_json
from ccweb.api.rate_counters import Limit
from ccweb.api.user_ids import MAX_USER_ID
from ccweb.events.event_ids import new_event_id
from ccweb.redis.client import Call
from segments import streaks
from segments.recommendations import recommend_each

JSON = "application/json"
USER = re.compile("/api/user-segments/([1-9][0-9]{0,18})/recommendation")
Environ = dict[str, Any]
Outcome = tuple[int, dict[str, Any], dict[str, str]]  # status, body, headers


class Odd(Exception):
    """This request is Django's."""


class Order(NamedTuple):
    """What one request asks for, when nothing about it is odd."""

    argument: Any
    limits: Sequence[Limit]
    origin: str  # its request id


class Line(NamedTuple):
    """One kind of request: its method and route, its key's scope, what is taken from it (raises Odd) and the work.

    `take` also says whether somebody else's transaction may hold the request up: such ones are served apart, so that
    they hold up nobody else. `questions` about the arguments of several requests go to Redis along with their limits;
    the work gets the answers.
    """

    method: str
    route: str
    scope: str
    take: Callable[[Environ], tuple[Any, bool]]
    questions: Callable[[Sequence[Any]], Sequence[Call]]
    work: Callable[[Sequence[Order], Sequence[Any] | None], Sequence[Outcome]]


def _action(environ: Environ) -> tuple[dict[str, Any], bool]:
    """The cleaned fields of one action, and whether its event_id is the client's, which others may be storing too.

    Without one it gets its event_id here: what is tried again must not be stored as another action.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if environ.get("CONTENT_TYPE") != JSON or not (length.isdecimal() and 0 < int(length) <= MAX_OBJECT_BYTES):
        raise Odd
    body = environ["wsgi.input"].getvalue()  # in memory (ccweb.bodies); Django can still read it
    if len(body) < int(length) or not body.startswith(b"{"):
        raise Odd
    try:
        action = ActionViewSet().clean(parse_json(body))
    except APIException:
        raise Odd from None
    return {"event_id": new_event_id()} | action, "event_id" in action


def _user_id(environ: Environ) -> tuple[int, bool]:
    found = USER.fullmatch(environ["PATH_INFO"])
    if found is None or int(found[1]) > MAX_USER_ID or environ.get("CONTENT_LENGTH", "0") not in ("", "0"):
        raise Odd
    return int(found[1]), False


def _record(orders: Sequence[Order], asked: Sequence[Any] | None) -> Sequence[Outcome]:
    actions, origins = [order.argument for order in orders], [order.origin for order in orders]
    return list(map(ActionViewSet().outcome, record_actions(actions=actions, origins=origins)))


def _recommend(orders: Sequence[Order], asked: Sequence[Any] | None) -> Sequence[Outcome]:
    return [(200, found.as_json(), {}) for found in recommend_each([order.argument for order in orders], asked)]


ACTION = Line("POST", "api/actions", ActionViewSet.scopes["POST"], _action, lambda actions: (), _record)
RECOMMENDATION = Line(
    "GET",
    "api/user-segments/<user_id:user_id>/recommendation",
    "segments:read",
    _user_id,
    lambda user_ids: (streaks.question(user_ids),),
    _recommend,
)


def line_of(environ: Environ) -> Line | None:
    """Which line a request may take."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if method == "POST" and path == "/api/actions":
        return ACTION
    return RECOMMENDATION if method == "GET" and path.endswith("/recommendation") else None
