"""Error responses as application/problem+json (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from ccweb.api.renderers import QuickJSONRenderer
from ccweb.db.errors import database_is_away, log_database_error

logger = logging.getLogger(__name__)
PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
UNFORESEEN = "An unexpected error occurred; it is logged."
DATABASE_UNAVAILABLE = "The database does not answer; try again."


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """The body of a problem; type is about:blank, so title is the status phrase."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail} | more


class Problem(NamedTuple):
    """An error answer, before it is known who sends it: Django or the event loop."""

    status: int
    detail: str
    headers: Mapping[str, str] = {}  # noqa: RUF012 - never changed

    def response(self) -> HttpResponse:
        """The answer of a middleware or an error handler, outside DRF."""
        content = problem(self.status, self.detail)
        return JsonResponse(content, status=self.status, content_type=PROBLEM_JSON, headers=dict(self.headers))


def plain_problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """A problem response outside DRF: in middlewares and Django's error handlers."""
    return Problem(status, detail, headers or {}).response()


def unavailable(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    """The 503 for a database error outside DRF: problem+json under /api, text elsewhere."""
    log_database_error(error)
    headers = {"Retry-After": RETRY_AFTER_SECONDS}
    if request.path.startswith("/api/"):
        return plain_problem(503, DATABASE_UNAVAILABLE, headers)
    return HttpResponse(f"{DATABASE_UNAVAILABLE}\n", status=503, content_type="text/plain", headers=headers)


@csrf_exempt  # without it a POST would get Django's HTML page about CSRF
def no_such_resource(request: HttpRequest) -> HttpResponse:
    """404 for every path under /api that is not a route."""
    return plain_problem(404, "There is no such resource.")


def problem_response(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's EXCEPTION_HANDLER; an unexpected error is logged with its traceback and answered with 500."""
    if database_is_away(error):
        log_database_error(error)
        error = Unavailable()
    error = _as_api_exception(error)
    if not isinstance(error, exceptions.APIException):
        logger.error("unexpected error in %s", context.get("view"), exc_info=error)
        error = exceptions.APIException(UNFORESEEN)
    set_rollback()
    _render_as_json(context.get("request"))
    return Response(_body(error), status=error.status_code, headers=_headers(error), content_type=PROBLEM_JSON)


class Unavailable(exceptions.APIException):
    """503: a dependency does not answer. Nothing is known to be stored; a retry with the same event_id is safe."""

    status_code = 503
    default_code = "unavailable"
    default_detail = DATABASE_UNAVAILABLE
    wait = RETRY_AFTER_SECONDS


class Gone(exceptions.APIException):
    """410: the user is erased."""

    status_code = 410
    default_code = "erased"
    default_detail = "This user's data was erased; nothing about them is stored any more."


def _render_as_json(request: Request | None) -> None:
    """Render the problem as JSON also where the view renders YAML or HTML."""
    if request is not None:
        request.accepted_renderer, request.accepted_media_type = QuickJSONRenderer(), QuickJSONRenderer.media_type


def _as_api_exception(error: Exception) -> Exception:
    """Convert Django's Http404 and PermissionDenied, as DRF's own handler does; clients do not see their texts."""
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    return error


def _body(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        return problem(error.status_code, "The input is invalid.", errors=list(field_errors(error.detail)))
    return problem(error.status_code, str(error.detail))


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    if getattr(error, "wait", None):
        headers["Retry-After"] = str(error.wait)  # type: ignore[attr-defined]
    return headers


def field_error(name: str, text: str, code: str) -> exceptions.ValidationError:
    """The ValidationError (400) of one field; "" is the whole input."""
    return exceptions.ValidationError({name: [exceptions.ErrorDetail(text, code=code)]})


def field_errors(detail: Any, pointer: str = "") -> Any:
    """Yield {pointer, code, detail} for a ValidationError's detail; pointer is a JSON Pointer (RFC 6901)."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from field_errors(inner, f"{pointer}/{_escape(str(name))}" if name else pointer)
    elif isinstance(detail, list):
        for inner in detail:
            yield from field_errors(inner, pointer)
    else:
        yield {"pointer": pointer, "code": detail.code, "detail": str(detail)}


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
