"""Strict query parameters: a view declares its filters; any other parameter is 400."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from ccweb.api.instants import parse_instant
from ccweb.api.user_ids import MAX_USER_ID, user_id_parameter

PAGING = ("cursor", "page_size")
MAX_ORDERINGS = 4


class Filter(NamedTuple):
    """One query parameter: its parser, the lookup it becomes, and its schema in the OpenAPI document."""

    parse: Callable[[str], Any]
    lookup: str
    schema: dict[str, Any]


def _text(text: str) -> str:
    if not text or "\0" in text:
        raise ValidationError("It must not be empty.", code="format")
    return text


def by_user(lookup: str = "user_id") -> Filter:
    """Rows of one user."""
    return Filter(user_id_parameter, lookup, {"type": "integer", "minimum": 1, "maximum": MAX_USER_ID})


def by_text(lookup: str) -> Filter:
    """Rows with exactly this text."""
    return Filter(_text, lookup, {"type": "string", "minLength": 1, "pattern": r"^[^\u0000]*$"})


def by_choice(lookup: str, choices: Iterable[str]) -> Filter:
    """Rows with one of the texts that exist."""
    known = list(choices)

    def parse(text: str) -> str:
        if text not in known:
            raise ValidationError(f"It must be one of {', '.join(known)}.", code="choice")
        return text

    return Filter(parse, lookup, {"type": "string", "enum": known})


def by_period(column: str) -> dict[str, Filter]:
    """since (inclusive) and until (exclusive), both with a zone."""
    instant = {"type": "string", "format": "date-time"}
    return {
        "since": Filter(parse_instant, f"{column}__gte", instant),
        "until": Filter(parse_instant, f"{column}__lt", instant),
    }


class StrictFilters(BaseFilterBackend):
    """Applies the view's `filters`; the 400 for an unknown, repeated or malformed parameter names it."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: APIView) -> QuerySet:
        if getattr(view, "detail", False):
            return queryset
        filters: dict[str, Filter] = getattr(view, "filters", {})
        given = {k: str(v) for k, v in request.query_params.items() if k in filters}
        queryset = queryset.filter(**_lookups(given, filters))
        terms = request.query_params.get("ordering")
        return queryset if terms is None else queryset.order_by(*_ordering(terms, getattr(view, "orderings", ())))

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        filters: dict[str, Filter] = getattr(view, "filters", {})
        schemas = {name: a_filter.schema for name, a_filter in filters.items()}
        if orderings := getattr(view, "orderings", ()):
            schemas["ordering"] = {"type": "string", "pattern": _ordering_pattern(orderings)}
        return [{"name": n, "in": "query", "required": False, "schema": schema} for n, schema in schemas.items()]


def _lookups(given: dict[str, str], filters: dict[str, Filter]) -> dict[str, Any]:
    lookups, errors = {}, {}
    for name, text in given.items():
        try:
            lookups[filters[name].lookup] = filters[name].parse(text)
        except ValidationError as error:
            errors[name] = error.detail
    if errors:
        raise ValidationError(errors)
    return lookups


def _ordering(text: str, known: Sequence[str]) -> list[str]:
    """The columns of a comma-separated `ordering`, each one of `known`, with a minus for descending."""
    terms = text.split(",")
    columns = [term.removeprefix("-") for term in terms]
    if len(set(columns)) < len(columns) or not set(columns) <= set(known) or len(terms) > MAX_ORDERINGS:
        expected = f"It must be up to {MAX_ORDERINGS} of {', '.join(known)}, separated by commas, - for descending."
        raise ValidationError({"ordering": _error_detail(expected, "choice")})
    return terms


def _ordering_pattern(known: Sequence[str]) -> str:
    column = f"-?({'|'.join(known)})"
    return f"^{column}(,{column}){{0,{MAX_ORDERINGS - 1}}}$"


def refuse_unknown_parameters(request: Request, known: Iterable[str]) -> None:
    """ValidationError for a query parameter that is unknown or given twice."""
    unknown = {
        n: _error_detail("There is no such parameter.", "unknown") for n in request.query_params.keys() - set(known)
    }
    repeated = {
        n: _error_detail("Given more than once.", "repeated") for n, v in request.query_params.lists() if len(v) > 1
    }
    if unknown or repeated:
        raise ValidationError(repeated | unknown)


def _error_detail(text: str, code: str) -> list[ErrorDetail]:
    return [ErrorDetail(text, code=code)]
