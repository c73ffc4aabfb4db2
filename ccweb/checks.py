"""System checks of routes, settings and the database server.

`manage.py check` finds routes that declare no scope; `check --deploy` also unsafe settings; `--database default` also
settings of the database server that lose commits.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.urls import URLPattern
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import BrowsableAPIRenderer

from ccweb.api.permissions import HasScope, IsKnown, needed_scope
from ccweb.api.routes import routes
from ccweb.request import deadline

Apps = Sequence[AppConfig] | None
PUBLIC = ("home", "favicon", "api", "healthz", "readyz", "metrics")  # /metrics checks the client address itself
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECRET_KEY_CHARACTERS = 50


@register(Tags.security)
def check_routes(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: every route of the API declares its scopes, and no other route is public."""
    return [message for route, pattern in routes() for message in _route(route, pattern)]


def handled_methods(callback: Any) -> list[str]:
    """The methods for which a DRF view has a handler."""
    names = getattr(callback, "actions", None) or dir(callback.cls)
    return [method for method in METHODS if method.lower() in names]


def _route(route: str, pattern: URLPattern) -> Iterator[CheckMessage]:
    callback: Any = pattern.callback
    view = getattr(callback, "cls", None)
    if view is None:
        if not route.startswith(("/api/", "/admin/")) and pattern.name not in PUBLIC:
            hint = "Move it under /api/, or add its name to PUBLIC."
            yield Error(f"{route} is a public route.", hint=hint, id="ccweb.E003")
        return
    if view.permission_classes not in ([HasScope], [IsKnown]):
        hint = "Keep the default permission_classes and declare scopes."
        yield Error(f"{route} has permissions of its own.", hint=hint, id="ccweb.E002")
    if view.permission_classes == [HasScope]:
        for method in handled_methods(callback):
            if needed_scope(view, method) is None:
                hint = f'Add to {view.__name__}: scopes = {{"{method}": "..."}}; until then every key is refused.'
                yield Error(f"{method} {route} declares no scope.", hint=hint, id="ccweb.E001")


@register(Tags.security, deploy=True)
def check_debug(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E004, E005: DEBUG, and an API that is open without it."""
    if settings.DEBUG:
        return [Error("DEBUG is on: only loopback clients are served.", hint="Set DEBUG=0.", id="ccweb.E004")]
    if settings.API_IS_OPEN:
        return [Error("The API does not require a key.", hint="API_IS_OPEN must equal DEBUG.", id="ccweb.E005")]
    return []


@register(Tags.security, deploy=True)
def check_secret_keys(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E006: with a short key, an attacker could guess it and sign sessions."""
    keys = {"SECRET_KEY": [settings.SECRET_KEY], "SECRET_KEY_FALLBACKS": settings.SECRET_KEY_FALLBACKS}
    hint = "python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    return [
        Error(f"{name} is shorter than {SECRET_KEY_CHARACTERS} characters.", hint=hint, id="ccweb.E006")
        for name, values in keys.items()
        if any(len(value) < SECRET_KEY_CHARACTERS for value in values)
    ]


@register(Tags.security, deploy=True)
def check_cache(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E007: with a cache in the memory of each process, each process would apply its own limits."""
    if "redis" in str(settings.CACHES["default"]["BACKEND"]).lower():
        return []
    return [Error("The cache is not Redis, so limits are not exact.", hint="See CACHES.", id="ccweb.E007")]


@register(Tags.security, deploy=True)
def check_session_authentication(app_configs: Apps, **kwargs: Any) -> list[CheckMessage]:
    """E008: no route of the API accepts session cookies (CSRF) or renders the browsable API."""
    unsafe = (SessionAuthentication, BrowsableAPIRenderer)
    return [
        Error(
            f"{route} uses {kind.__name__}.",
            hint="Keep the defaults of REST_FRAMEWORK in the settings.",
            id="ccweb.E008",
        )
        for route, view in ((route, getattr(pattern.callback, "cls", None)) for route, pattern in routes())
        if view is not None
        for kind in (*view.authentication_classes, *view.renderer_classes)
        if issubclass(kind, unsafe)
    ]


@register(Tags.database)
def check_durability(app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W001, W002: PostgreSQL must keep acknowledged commits; warnings, so that they do not stop migrate."""
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
def check_poolers(app_configs: Apps, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W003: a pooler such as PgBouncer where none is expected: session locks are not kept, so there may be two relays.

    W004: behind a pooler a request cannot set the timeouts of its session, so the pooler or the role has to.
    """
    messages: list[CheckMessage] = []
    for alias in _postgresql(databases):
        messages += _direct(connections[alias])
        if settings.DATABASE_OF_REQUESTS:
            until = deadline.until(time.monotonic() + deadline.DEADLINE_SECONDS)
            with until, closing(connections[alias].copy()) as of_requests:
                messages += _of_requests(of_requests)
    return messages


def _direct(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    if _leads_to_pooler(connection):
        name = "DATABASE_DIRECT_URL" if settings.DATABASE_OF_REQUESTS else "DATABASE_URL"
        hint = "DATABASE_POOLED=1 is for DATABASE_URL; DATABASE_DIRECT_URL has to lead to PostgreSQL directly."
        yield Warning(f"{name} connects to a connection pooler.", hint=hint, id="ccweb.W003")


def _of_requests(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    if not settings.DATABASE_POOLED:
        if _leads_to_pooler(connection):
            yield Warning("DATABASE_URL connects to a connection pooler.", hint="DATABASE_POOLED=1", id="ccweb.W003")
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT '0' IN (current_setting('statement_timeout'), current_setting('lock_timeout'))")
        if cursor.fetchone()[0]:
            hint = "Set statement_timeout and lock_timeout by the pooler's connect_query, see deploy/pgbouncer.ini."
            yield Warning("Statements of requests have no timeout.", hint=hint, id="ccweb.W004")


def _leads_to_pooler(connection: BaseDatabaseWrapper) -> bool:
    """A pooler sends its own process id on connection, not that of the server process that executes the query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return bool(connection.connection.info.backend_pid != cursor.fetchone()[0])


def _postgresql(databases: Sequence[str] | None) -> list[str]:
    return [alias for alias in databases or () if connections[alias].vendor == "postgresql"]
