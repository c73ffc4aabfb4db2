"""What every operation of the OpenAPI document has in common: keys, strict fields, the problems it may answer."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension

KEY_DESCRIPTION = "`Api-Key <key>`, with the blank; `manage.py create_api_key` makes one."
Document = dict[str, Any]
ALWAYS = (400, 401, 403, 406, 429, 503)
WITH_BODY = (411, 413, 415)
PROBLEMS = sorted((*ALWAYS, *WITH_BODY, 404, 409, 410))
TEXT = {"type": "string"}
FAULT = {
    "type": "object",
    "required": ["pointer", "code", "detail"],
    "properties": {"pointer": TEXT, "code": TEXT, "detail": TEXT},
}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `errors` names each fault of invalid input by JSON Pointer.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "errors": {"type": "array", "items": FAULT},
    },
}


def describe_answers(result: Document, **context: Any) -> Document:
    """drf-spectacular's postprocessing hook: the document with problems described."""
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
    """Say that an operation may answer with problems of these statuses."""
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
    """The Authorization header; OpenAPI has no name of its own for the scheme Api-Key."""

    target_class = "ccweb.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """As components.securitySchemes shows it."""
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": KEY_DESCRIPTION}


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session of the admin, for the pages about the API."""

    target_class = "ccweb.api.authentication.StaffSession"
    name = "StaffSession"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """As components.securitySchemes shows it."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class StrictFieldSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Strict fields describe themselves."""

    target_class = "ccweb.api.fields.StrictField"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """The field's JSON Schema; direction is "request" or "response"."""
        taken, answered = self.target.openapi, self.target.openapi_out
        return dict(answered if direction == "response" and answered else taken)
