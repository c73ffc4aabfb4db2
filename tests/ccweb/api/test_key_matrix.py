"""Every route, every method, every scope: a key reaches what its scope names and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from ccweb.api.models import SCOPES, create_key
from ccweb.api.permissions import HasScope, IsKnown
from ccweb.checks import METHODS, handled_methods, routes

pytestmark = pytest.mark.django_db
# What the contract says; a new route is added here by hand.
CONTRACT = {
    ("GET", "/api/actions"): "actions:read",
    ("POST", "/api/actions"): "actions:write",
    ("GET", "/api/actions/<event_id>"): "actions:read",
    ("POST", "/api/notify/site_visit"): "visits:write",
    ("GET", "/api/site-visits"): "visits:read",
    ("GET", "/api/user-segments"): "segments:read",
    ("GET", "/api/user-segments/<user_id>"): "segments:read",
    ("PATCH", "/api/user-segments/<user_id>"): "segments:write",
    ("GET", "/api/user-segments/<user_id>/recommendation"): "segments:read",
    ("GET", "/api/user-segments/<user_id>/history"): "segments:read",
    ("GET", "/api/user-segments/<user_id>/outlook"): "segments:read",
}
KNOWN = ("/api/schema", "/api/docs")  # any valid key
VALUES = {"<event_id>": "018f3c5e-7a10-7cc0-8000-00000000000a", "<user_id>": "7"}


def api_views() -> Iterator[tuple[str, Any]]:
    """The path, with converters left out, and the view function of every DRF route."""
    for route, pattern in routes():
        if hasattr(pattern.callback, "cls"):
            yield route.replace("uuid:", "").replace("user_id:", ""), pattern.callback


API = dict(api_views())


@pytest.fixture(autouse=True)
def keys_are_on(settings: Settings) -> None:
    settings.API_IS_OPEN = False


def test_every_route_declares_a_scope_for_each_of_its_methods() -> None:
    declared = {}
    for path, view in API.items():
        if path in KNOWN:
            assert view.cls.permission_classes == [IsKnown]
            continue
        assert view.cls.permission_classes == [HasScope], path
        for method in handled_methods(view):
            assert method in view.cls.scopes, f"{method} {path} declares no scope"
            declared[method, path] = view.cls.scopes[method]
    assert declared == {place: CONTRACT[place] for place in declared}


def test_outside_of_the_api_only_the_probes_and_the_admin_are_routes() -> None:
    outside = {route for route, _ in routes() if not route.startswith(("/api/", "/admin/"))}
    assert outside <= {"/", "/favicon.ico", "/api", "/healthz", "/readyz", "/metrics"}


@pytest.mark.parametrize("path", sorted(API.keys() - set(KNOWN)))
def test_a_key_reaches_its_own_scope_and_nothing_else(path: str) -> None:
    keys = {scope: create_key(name=scope, scopes=[scope])[1] for scope in SCOPES}
    url = path
    for name, value in VALUES.items():
        url = url.replace(name, value)
    for method in METHODS:
        codes = {scope: ask(method, url, sent) for scope, sent in keys.items()}
        if method in handled_methods(API[path]):
            right = CONTRACT[method, path]
            assert codes.pop(right) not in (401, 403, 405), (method, path)
            assert set(codes.values()) == {403}, (method, path)
        else:
            assert set(codes.values()) == {405}, (method, path)
        assert ask(method, url, None) == 401, (method, path)


def ask(method: str, url: str, sent: str | None) -> int:
    headers = {"Authorization": f"Api-Key {sent}"} if sent else {}
    return Client().generic(method, url, b"{}", content_type="application/json", headers=headers).status_code


@pytest.mark.parametrize("path", KNOWN)
def test_any_key_reads_about_the_api(path: str) -> None:
    for scope in SCOPES:
        assert ask("GET", path, create_key(name=scope, scopes=[scope])[1]) == 200


def test_an_unknown_path_says_nothing_about_keys() -> None:
    assert ask("GET", "/api/secrets", None) == 404
