"""The fast route of POST /api/actions: one action or a list, without Django's handler."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from actions.recording import record_steps
from actions.serializers import ActionSerializer
from actions.views import ActionViewSet
from ccweb.api.parsers import MAX_OBJECT_BYTES
from ccweb.api.typed_json import typed_decoder
from ccweb.db.steps import Steps
from ccweb.events.event_ids import new_event_id
from ccweb.events.idempotency import Event, Verdict
from ccweb.events.viewsets import MAX_LIST
from ccweb.server.fast_route import Batch, FastAnswer, FastRequest, FastRoute, NotEligible, fast_route

ONE, ONE_WITH_ID, LIST, LIST_WITH_IDS = "one", "one with id", "list", "list with ids"
FRESH = (ONE, LIST)  # no client knows their event_ids yet, so no other transaction can have one of them


def record_route() -> FastRoute:
    """POST /api/actions in JSON that is valid; whatever is odd goes to Django."""
    # A second list is prepared while PostgreSQL stores the first one; single actions gather meanwhile instead.
    queues = {ONE: 1, ONE_WITH_ID: 1, LIST: 2, LIST_WITH_IDS: 2}
    return fast_route("actions", "POST", queues=queues, parse=_parse, steps=_record, render=_render)


def _parse(request: FastRequest) -> tuple[str, list[Event], int]:
    """The queue, the cleaned actions and their number.

    Those without an event_id get it here, so that a second attempt of ours, each request alone, stores none twice; a
    client that sends such an action again sends a new one.
    """
    if request.headers.get("content-type") != "application/json":
        raise NotEligible
    actions = _parse_actions(request.body)
    is_list, has_ids = request.body[:1] == b"[", any("event_id" in action for action in actions)
    queue = (LIST_WITH_IDS if has_ids else LIST) if is_list else (ONE_WITH_ID if has_ids else ONE)
    for action in actions:
        if "event_id" not in action:
            action["event_id"] = new_event_id()
    return queue, actions, len(actions)


def _parse_actions(body: bytes) -> list[Event]:
    decoder, first = typed_decoder(ActionSerializer), body[:1]
    if first == b"{" and len(body) <= MAX_OBJECT_BYTES and (action := decoder.one(body)):
        return [action]
    if first == b"[" and (actions := decoder.many(body)) and len(actions) <= MAX_LIST:
        return actions
    raise NotEligible


def _record(batch: Batch) -> Steps[list[list[Verdict]]]:
    """The verdicts on each request's actions."""
    actions = [action for request in batch.requests for action in request.argument]
    origins = [request.origin for request in batch.requests for _ in request.argument]
    fresh = batch.queue in FRESH and not batch.failed_before
    verdicts = iter((yield from record_steps(actions=actions, origins=origins, fresh=fresh)))
    return [list(islice(verdicts, request.events)) for request in batch.requests]


def _render(queue: str, verdicts: Sequence[Verdict]) -> FastAnswer:
    view: Any = ActionViewSet()
    if queue in (ONE, ONE_WITH_ID):
        return FastAnswer(*view.outcome(verdicts[0]))
    status, body, counts = view.list_outcome(verdicts)
    return FastAnswer(status, body, outcomes=counts)
