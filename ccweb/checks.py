"""What is wrong with a deployment, found by manage.py check instead of at midnight.

`check` finds routes that declare no scope; `check --deploy` also unsafe settings; `--database default` also what the
database server does with a commit.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.urls import URLPattern
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import BrowsableAPIRenderer

from ccweb.api.permissions import HasScope, IsKnown, needed_scope
from ccweb.api.routes import routes

Apps = Sequence[AppConfig] | None
PUBLIC = ("home", "favicon", "api", "healthz", "readyz", "metrics")  # /metrics asks for the address itself
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECRET_KEY_CHARACTERS = 50


@register(Tags.security)
def check_routes(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: every route of the API says who may use it, and no other route is public."""
    return [message for route, pattern in routes() for message in _route(route, pattern)]


def handled_methods(callback: Any) -> list[str]:
    """The methods that a DRF view answers otherwise than with 405."""
    names = getattr(callback, "actions", None) or dir(callback.cls)
    return [method for method in METHODS if method.lower() in names]


def _route(route: str, pattern: URLPattern) -> Iterator[CheckMessage]:
    callback: Any = pattern.callback
    view = getattr(callback, "cls", None)
    if view is None:
        if not route.startswith(("/api/", "/admin/")) and pattern.name not in PUBLIC:
            hint = "Put it under /api/, or its name into PUBLIC."
            yield Error(f"{route} is a public route.", hint=hint, id="ccweb.E003")
        return
    if view.permission_classes not in ([HasScope], [IsKnown]):
        hint = "Keep the default permission_classes and declare scopes."
        yield Error(f"{route} has permissions of its own.", hint=hint, id="ccweb.E002")
    if view.permission_classes == [HasScope]:
        for method in handled_methods(callback):
            if needed_scope(view, method) is None:
                hint = f'Add to {view.__name__}: scopes = {{"{method}": "..."}}; until then no key may do it.'
                yield Error(f"{method} {route} declares no scope.", hint=hint, id="ccweb.E001")


@register(Tags.security, deploy=True)
def check_debug(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E004, E005: DEBUG, and an API that is open without it."""
    if settings.DEBUG:
        return [Error("DEBUG is on: only loopback clients are served.", hint="Set DEBUG=0.", id="ccweb.E004")]
    if settings.API_IS_OPEN:
        return [Error("The API asks nobody for a key.", hint="API_IS_OPEN must be what DEBUG is.", id="ccweb.E005")]
    return []


@register(Tags.security, deploy=True)
def check_secret_keys(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E006: a key that can be guessed signs sessions for everybody."""
    keys = {"SECRET_KEY": [settings.SECRET_KEY], "SECRET_KEY_FALLBACKS": settings.SECRET_KEY_FALLBACKS}
    hint = "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    return [
        Error(f"{name} is shorter than {SECRET_KEY_CHARACTERS} characters.", hint=hint, id="ccweb.E006")
        for name, values in keys.items()
        if any(len(value) < SECRET_KEY_CHARACTERS for value in values)
    ]


@register(Tags.security, deploy=True)
def check_cache(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E007: limits counted in a process's own memory are as many limits as processes."""
    if "redis" in str(settings.CACHES["default"]["BACKEND"]).lower():
        return []
    return [Error("The cache is not Redis, so limits are not exact.", hint="See CACHES.", id="ccweb.E007")]


@register(Tags.security, deploy=True)
def check_doors(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E008: neither session cookies (CSRF) nor the browsable API on any route that uses scopes."""
    unsafe = (SessionAuthentication, BrowsableAPIRenderer)
    return [
        Error(f"{route} uses {kind.__name__}.", hint="Keep DRF's defaults of the settings.", id="ccweb.E008")
        for route, view in ((route, getattr(pattern.callback, "cls", None)) for route, pattern in routes())
        if view is not None
        for kind in (*view.authentication_classes, *view.renderer_classes)
        if issubclass(kind, unsafe)
    ]


@register(Tags.database)
def check_durability(app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W001, W002: PostgreSQL must keep what it has acknowledged; warnings, so that migrate is not stopped."""
    messages: list[CheckMessage] = []
    for alias in _postgresql(databases):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT current_setting('synchronous_commit'), current_setting('fsync')")
            synchronous_commit, fsync = cursor.fetchone()
        if synchronous_commit == "off":
            messages.append(_loses("synchronous_commit", "a crash", "ccweb.W001"))
        if fsync == "off":
            messages.append(_loses("fsync", "a power cut", "ccweb.W002"))
    return messages


def _loses(setting: str, event: str, number: str) -> CheckMessage:
    return Warning(f"PostgreSQL runs with {setting}=off: {event} loses acknowledged actions.", id=number)


@register(Tags.database)
def check_direct_connection(
    app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """W003: behind a pooler such as PgBouncer the session's locks do not last, and there may be two relays.

    A pooler greets the client with a process id of its own, not with that of the server process that answers.
    """
    messages: list[CheckMessage] = []
    for alias in _postgresql(databases):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            answering = cursor.fetchone()[0]
        if connections[alias].connection.info.backend_pid != answering:
            hint = "relay_actions and run_scheduler need a DATABASE_URL that leads to PostgreSQL itself."
            messages.append(Warning("DATABASE_URL leads to a connection pooler.", hint=hint, id="ccweb.W003"))
    return messages


def _postgresql(databases: Sequence[str] | None) -> list[str]:
    return [alias for alias in databases or () if connections[alias].vendor == "postgresql"]
