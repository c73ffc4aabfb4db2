"""Permissions: a view declares the scope that each method needs; a method without a scope is refused."""

from typing import TYPE_CHECKING, NoReturn, cast

from django.conf import settings
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from ccweb.api.authentication import NEEDED, Grant
from ccweb.request.client_address import is_loopback, is_within

if TYPE_CHECKING:  # DRF imports this module (its default permissions) while it loads its views
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """The key has the scope that the view's `scopes` declares for the method, such as {"GET": "actions:read"}."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises NotAuthenticated (401) without a key, unless the API is open (DEBUG)."""
        if request.auth is None:
            return settings.API_IS_OPEN or refuse_unknown()
        method = str(request.method)
        if method == "OPTIONS" or method not in view.allowed_methods:
            return True  # the answer is 405 with any key
        scope = needed_scope(view, method)
        self.message = f"This needs an API key with the scope {scope}." if scope else "No scope allows this."
        grant = cast(Grant, request.auth)
        return scope in grant.scopes


def needed_scope(view: "APIView | type[APIView]", method: str) -> str | None:
    """The scope that a view declares for a method, None if it declares none; HEAD is like GET."""
    scopes: dict[str, str] = getattr(view, "scopes", {})
    return scopes.get("GET" if method == "HEAD" else method)


class IsKnown(BasePermission):
    """Any valid key or a staff session; for the schema and its documentation page."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Raises NotAuthenticated (401) without either, unless the API is open (DEBUG)."""
        return request.auth is not None or request.user is not None or settings.API_IS_OPEN or refuse_unknown()


def refuse_unknown() -> NoReturn:
    """Raise NotAuthenticated (401) with the same text as for a key that is not valid."""
    raise NotAuthenticated(NEEDED)


def may_see_metrics(client: str) -> bool:
    """Whether a client address is of this machine or in METRICS_ALLOWED."""
    return is_loopback(client) or is_within(client, settings.METRICS_ALLOWED)
