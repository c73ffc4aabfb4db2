"""POST of one event or of a list, for the viewsets of actions and visits."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from ccweb.api.problems import PROBLEM_JSON, Gone, field_error, field_errors, problem
from ccweb.api.serializers import StrictSerializer
from ccweb.events.idempotency import Event, Verdict

MAX_LIST = 1000
CODES = {"accepted": 201, "duplicate": 200, "conflict": 409, "erased": 410}
REASONS = {
    "conflict": "This event_id is stored with other content.",
    "erased": Gone.default_detail,
}


class ListAnswer(NamedTuple):
    """The answer to a list of events; `counts` are its items by their status."""

    status: int
    body: dict[str, Any]
    counts: Mapping[str, int]


class RecordingMixin:
    """POST of one event, or of a list if `takes_lists`, by the app's write function `record`."""

    record: Callable[[Sequence[Event]], list[Verdict]]
    takes_lists = False

    def create(self, request: Request) -> Response:
        """One event: 201 new, 200 replayed, 409 other content, 410 erased, 400 invalid.

        A list: 201 when no item was refused, else 207, with a verdict for each item; 400 for a wrong length.
        """
        if type(request.data) is list and self.takes_lists:
            return self._create_many(request.data)
        (verdict,) = self.record([self.clean(request.data)])
        status, body, headers = self.outcome(verdict)
        return Response(body, status=status, headers=headers, content_type=PROBLEM_JSON if status >= 400 else None)

    def clean(self, data: Any) -> Event:
        """The cleaned fields that the client sent; raises ValidationError."""
        return shared(self.serializer_class).run_validation(data)  # type: ignore[attr-defined]

    def outcome(self, verdict: Verdict) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers of the answer to one event."""
        status = CODES[verdict.status]
        if verdict.status in REASONS:
            return status, problem(status, REASONS[verdict.status]), {}
        replayed = {"Idempotent-Replayed": "true"} if verdict.status == "duplicate" else {}
        return status, shared(self.serializer_class).to_representation(verdict.event), replayed  # type: ignore[attr-defined]

    def list_outcome(self, verdicts: Sequence[Verdict]) -> ListAnswer:
        """Status, body and counts of the answer to a list whose items are all valid."""
        return _list_answer([_item(index, verdict) for index, verdict in enumerate(verdicts)])

    def _create_many(self, data: list[Any]) -> Response:
        if not 1 <= len(data) <= MAX_LIST:
            raise field_error("", f"A list has 1 to {MAX_LIST} items.", "length")
        valid, items = self._validate_all(data)
        verdicts = self.record(list(valid.values())) if valid else []
        for index, verdict in zip(valid, verdicts, strict=True):
            items[index] = _item(index, verdict)
        status, body, counts = _list_answer(items)
        response = Response(body, status=status)
        response.outcomes = counts  # type: ignore[attr-defined]  # /metrics counts them
        return response

    def _validate_all(self, data: list[Any]) -> tuple[dict[int, Event], list[dict[str, Any]]]:
        run_validation = shared(self.serializer_class).run_validation  # type: ignore[attr-defined]
        valid: dict[int, Event] = {}
        items: list[dict[str, Any]] = []
        for index, item in enumerate(data):
            try:
                valid[index] = run_validation(item)
                items.append({})
            except ValidationError as error:
                items.append(_invalid(index, item, error))
        return valid, items


@cache
def shared(serializer: type[StrictSerializer]) -> StrictSerializer:
    """One instance for all requests: it has no state, and creating one copies every field."""
    return serializer()


def _list_answer(items: list[dict[str, Any]]) -> ListAnswer:
    counts = Counter(item["status"] for item in items)
    refused = len(items) - counts["accepted"] - counts["duplicate"]
    body = {"accepted": counts["accepted"], "duplicates": counts["duplicate"], "refused": refused, "items": items}
    return ListAnswer(207 if refused else 201, body, counts)


def _invalid(index: int, item: Any, error: ValidationError) -> dict[str, Any]:
    event_id = item.get("event_id") if type(item) is dict else None
    return {
        "index": index,
        "status": "invalid",
        "event_id": event_id if type(event_id) is str else None,
        "errors": list(field_errors(error.detail)),
    }


def _item(index: int, verdict: Verdict) -> dict[str, Any]:
    return {"index": index, "status": verdict.status, "event_id": verdict.event["event_id"]}
