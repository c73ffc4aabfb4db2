"""Extensions of drf-spectacular for all operations: API keys, strict fields, problem responses."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension

KEY_DESCRIPTION = "`Api-Key <key>`, with the space; `manage.py create_api_key` creates a key."
Document = dict[str, Any]
ALWAYS = (400, 401, 403, 406, 429, 503)
WITH_BODY = (411, 413, 415)
PROBLEMS = sorted((*ALWAYS, *WITH_BODY, 404, 409, 410))
TEXT = {"type": "string"}
FIELD_ERROR = {
    "type": "object",
    "required": ["pointer", "code", "detail"],
    "properties": {"pointer": TEXT, "code": TEXT, "detail": TEXT},
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `errors` lists each error of invalid input by JSON Pointer.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "errors": {"type": "array", "items": FIELD_ERROR},
    },
}


def describe_answers(result: Document, **context: Any) -> Document:
    """A postprocessing hook of drf-spectacular: adds the problem responses."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(Problem=PROBLEM)
    for name, schema in components["schemas"].items():
        if name.endswith("Request"):
            schema["additionalProperties"] = False  # unknown fields are refused
        if name.startswith("Patched"):
            schema["required"] = list(schema["properties"])
    components.setdefault("responses", {}).update({_name(code): _problem(code) for code in PROBLEMS})
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            _describe(path, method, operation)
    return result


def _describe(path: str, method: str, operation: Document) -> None:
    codes = [*ALWAYS, *(WITH_BODY if method != "get" else ()), *([404] if "{" in path else ())]
    if method == "patch":
        codes.append(410)
        operation["requestBody"]["required"] = True
    add_problems(operation, codes)


def add_problems(operation: Document, codes: Iterable[int]) -> None:
    """Add problem responses with these statuses to an operation."""
    for code in sorted(codes):
        operation["responses"].setdefault(str(code), {"$ref": f"#/components/responses/{_name(code)}"})


def _name(code: int) -> str:
    return HTTPStatus(code).name.title().replace("_", "")


def _problem(code: int) -> Document:
    problem: Document = {
        "description": HTTPStatus(code).phrase,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if code in (429, 503):
        problem["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return problem


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The Authorization header; OpenAPI has no type for the scheme Api-Key."""

    target_class = "ccweb.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": KEY_DESCRIPTION}


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session of the admin, for the pages about the API."""

    target_class = "ccweb.api.authentication.StaffSession"
    name = "StaffSession"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class StrictFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """The schemas that strict fields declare."""

    target_class = "ccweb.api.fields.StrictField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """The field's JSON Schema; direction is "request" or "response"."""
        schema_in, schema_out = self.target.openapi, self.target.openapi_out
        return dict(schema_out if direction == "response" and schema_out else schema_in)
