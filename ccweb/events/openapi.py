"""OpenAPI of the routes that record events: replays, verdicts, lists."""

from typing import Any

from ccweb.api.openapi import FIELD_ERROR, Document, add_problems
from ccweb.api.routes import creating_viewsets
from ccweb.events.viewsets import MAX_LIST, RecordingMixin

COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_LIST}
VERDICT = {
    "type": "object",
    "required": ["index", "status", "event_id"],
    "properties": {
        "index": COUNT,
        "status": {"type": "string", "enum": ["accepted", "duplicate", "conflict", "invalid", "erased"]},
        "event_id": {"type": "string", "nullable": True},
        "errors": {"type": "array", "items": FIELD_ERROR},
    },
}
VERDICTS = {
    "type": "object",
    "description": "The outcome of each event of a list, in the order of the list.",
    "required": ["accepted", "duplicates", "refused", "items"],
    "properties": {
        "accepted": COUNT,
        "duplicates": COUNT,
        "refused": COUNT,
        "items": {"type": "array", "items": VERDICT},
    },
}


def describe_recording(result: Document, **context: Any) -> Document:
    """A postprocessing hook of drf-spectacular: adds the responses to one event and to a list."""
    result["components"]["schemas"]["Verdicts"] = VERDICTS
    for path, view in creating_viewsets().items():
        if issubclass(view, RecordingMixin):
            operation = result["paths"][path]["post"]
            _describe_one(operation)
            if view.takes_lists:
                _describe_list(operation)
            add_problems(operation, (409, 410))
    return result


def _describe_one(operation: Document) -> None:
    responses = operation["responses"]
    stored = responses["201"]["content"]["application/json"]
    responses["201"]["description"] = "Stored."
    responses["200"] = {
        "description": "Stored before, with the same content.",
        "headers": {"Idempotent-Replayed": {"schema": {"type": "string", "enum": ["true"]}}},
        "content": {"application/json": dict(stored)},
    }


def _describe_list(operation: Document) -> None:
    responses = operation["responses"]
    verdicts = {"$ref": "#/components/schemas/Verdicts"}
    body, stored = operation["requestBody"]["content"]["application/json"], responses["201"]["content"]
    one = body["schema"]
    items = {"anyOf": [one, {}]}  # an invalid item is refused alone, so the schema accepts it
    body["schema"] = {"oneOf": [one, {"type": "array", "minItems": 1, "maxItems": MAX_LIST, "items": items}]}
    both = {"oneOf": [stored["application/json"]["schema"], verdicts]}
    responses["201"]["content"] = {"application/json": {"schema": both}}
    responses["207"] = {
        "description": "Some events of the list were refused.",
        "content": {"application/json": {"schema": verdicts}},
    }
