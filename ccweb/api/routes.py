"""The URL configuration as data, for modules that would otherwise repeat routes."""

from collections.abc import Iterator
from functools import cache

from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.viewsets import GenericViewSet


def routes(resolver: URLResolver | None = None, prefix: str = "/") -> Iterator[tuple[str, URLPattern]]:
    """Every path of the URL configuration, as written there, with its URLPattern."""
    for pattern in (resolver or get_resolver()).url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            yield route, pattern


def creating_viewsets() -> dict[str, type[GenericViewSet]]:
    """The viewsets whose `create` answers POST, by the paths of their routes."""
    return {
        route: pattern.callback.cls  # type: ignore[attr-defined]  # set by as_view()
        for route, pattern in routes()
        if getattr(pattern.callback, "actions", {}).get("post") == "create"
    }


@cache
def paths_of(*names: str) -> tuple[str, ...]:
    """The paths of routes without variables, by their names; the application is served at the root of its host."""
    return tuple(map(reverse, names))
