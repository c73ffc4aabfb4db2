"""JSON client for the API, based on Django's test client."""

import json
from typing import Any

from django.test import Client

JSON = "application/json"


def post(path: str, body: Any, **headers: str) -> Any:
    """POST a value as JSON, or bytes unchanged, to /api/PATH."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().post(f"/api/{path}", data, content_type=JSON, headers=headers)


def get(path: str) -> Any:
    """GET /api/PATH."""
    return Client().get(f"/api/{path}")


def faults(response: Any) -> dict[str, str]:
    """The pointers and codes of a 400 response, after checking that it is a valid problem document (RFC 9457)."""
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == 400
    assert body["title"] == "Bad Request"
    return {error["pointer"]: error["code"] for error in body["errors"]}
