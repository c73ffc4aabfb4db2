"""The OpenAPI document is a product: no warnings, every answer described, pages from our own files."""

import json
import re
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def document() -> Any:
    """As a client gets it."""
    return json.loads(Client().get("/api/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).content)


def test_the_document_is_valid_and_without_warnings(tmp_path: Any) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def test_every_operation_names_its_problems(document: Any) -> None:
    operations = [o for p, methods in document["paths"].items() if p != "/api/schema" for o in methods.values()]
    assert operations
    for operation in operations:
        assert {"400", "401", "403", "429", "503"} <= operation["responses"].keys()


def test_actions_are_taken_one_or_many(document: Any) -> None:
    post = document["paths"]["/api/actions"]["post"]
    one, many = post["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert many["items"]["anyOf"][0] == one
    assert {"200", "201", "207", "400", "401", "403", "409", "410", "411", "413", "415"} <= post["responses"].keys()


def test_requests_with_unknown_fields_are_invalid_by_the_document(document: Any) -> None:
    requests = {name: s for name, s in document["components"]["schemas"].items() if name.endswith("Request")}
    assert requests
    assert all(schema["additionalProperties"] is False for schema in requests.values())


def test_the_examples_are_true(document: Any, redis_client: redis.Redis) -> None:
    done = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            requests = examples(operation.get("requestBody"))
            for sent in requests:
                answer = Client().generic(method.upper(), path.format(user_id=42), json.dumps(sent), "application/json")
                assert answer.status_code == (200 if method == "patch" else 201), (path, sent, answer.content)
            answers = examples(operation["responses"].get("200")) if method == "get" else []
            for said in answers:
                assert Client().get(path.format(user_id=said["user_id"])).json() == said
            assert requests or "requestBody" not in operation, f"{method} {path} has no example"
            done += len(requests) + len(answers)
    assert done >= 6


def examples(content: Any) -> list[Any]:
    """The values of a request's or response's JSON examples."""
    found = (content or {}).get("content", {}).get("application/json", {}).get("examples", {})
    return [example["value"] for example in found.values()]


def test_the_page_about_the_api_loads_nothing_from_elsewhere() -> None:
    page = Client().get("/api/docs").content.decode()
    links = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert links
    assert all(link.startswith("/") for link in links)
    for link in links:
        assert Client().get(link).status_code == 200


def test_a_method_that_is_not_described_is_405_whatever_its_parameters() -> None:
    assert Client().generic("TRACE", "/api/site-visits?page_size=5").status_code == 405
