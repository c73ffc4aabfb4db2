"""Fast route of POST /api/actions for a single action, which bypasses Django's handler."""

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import APIException

from actions.recording import record_actions
from actions.views import ActionViewSet
from ccweb.api.parsers import MAX_OBJECT_BYTES, parse_json
from ccweb.events.event_ids import new_event_id
from ccweb.server.fast_route import JSON, Environ, FastAnswer, FastRoute, NotEligible, PendingRequest, fast_route


def record_route() -> FastRoute:
    """POST /api/actions with one action; a list goes to Django."""
    return fast_route("actions", "POST", parse=_parse, answer=_answer)


def _parse(environ: Environ) -> tuple[dict[str, Any], bool]:
    """The cleaned fields of one action, and whether the client sent the event_id.

    A client's event_id may be stored by another request at the same time. An action without one gets its event_id here,
    so that a retry of the statement does not store a second action. Raises NotEligible for what Django has to answer.
    """
    length = environ.get("CONTENT_LENGTH") or "0"
    if environ.get("CONTENT_TYPE") != JSON or not (length.isdecimal() and 0 < int(length) <= MAX_OBJECT_BYTES):
        raise NotEligible
    body = environ["wsgi.input"].getvalue()  # in memory (ccweb.server.request_body), so Django can still read it
    if len(body) < int(length) or not body.startswith(b"{"):
        raise NotEligible
    try:
        action = ActionViewSet().clean(parse_json(body))
    except APIException:
        raise NotEligible from None
    return {"event_id": new_event_id()} | action, "event_id" in action


def _answer(requests: Sequence[PendingRequest], replies: Sequence[Any] | None) -> Sequence[FastAnswer]:
    actions, origins = [request.argument for request in requests], [request.request_id for request in requests]
    return list(map(ActionViewSet().outcome, record_actions(actions=actions, origins=origins)))
