"""Keyset pagination: constant cost at any depth, stable while rows are inserted."""

import base64
import binascii
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from django.core.exceptions import ValidationError as FieldError
from django.db.models import Field, Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from ccweb.api.problems import field_error

PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
Ordering = list[tuple[str, bool]]  # columns and whether they descend


class KeysetPagination(BasePagination):
    """{next, previous, results}, ordered by the queryset's own columns (none of them nullable) and the primary key.

    A cursor holds the direction, the order, and the column values of the row to continue from.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """One page of rows; ValidationError for a malformed cursor or page size."""
        self.url = request.build_absolute_uri()
        self.order = _order(queryset)
        backwards, position = _read_cursor(request.query_params.get("cursor"), queryset.model, self.order)
        size = _page_size(request.query_params.get("page_size"))
        order = [(column, descends != backwards) for column, descends in self.order]
        if position:
            queryset = queryset.filter(_beyond(order, position))
        rows = list(queryset.order_by(*_terms(order))[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        self.rows = rows[::-1] if backwards else rows
        self.has_next = bool(rows) and (more if not backwards else True)
        self.has_previous = bool(rows) and (more if backwards else bool(position))
        return self.rows

    def get_paginated_response(self, data: Any) -> Response:
        """The page with links to the next and previous page, null where there is none."""
        return Response(
            {
                "next": self._link("next", -1) if self.has_next else None,
                "previous": self._link("previous", 0) if self.has_previous else None,
                "results": data,
            }
        )

    def _link(self, direction: str, index: int) -> str:
        row = self.rows[index]
        position = [str(getattr(row, column)) for column, _ in self.order]
        token = json.dumps([direction, ",".join(_terms(self.order)), *position])
        return replace_query_param(self.url, "cursor", base64.urlsafe_b64encode(token.encode()).decode())

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE}
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
            {"name": "page_size", "in": "query", "required": False, "schema": size},
        ]


def _order(queryset: QuerySet) -> Ordering:
    """The queryset's ordering, ended by the primary key in the direction of the last column."""
    terms = [str(term) for term in queryset.query.order_by or queryset.model._meta.ordering]
    order = [(term.lstrip("-"), term.startswith("-")) for term in terms]
    key = queryset.model._meta.pk.attname
    known = [column for column, _ in order]
    return order[: known.index(key) + 1] if key in known else [*order, (key, order[-1][1])]


def _terms(order: Ordering) -> list[str]:
    return [("-" if descends else "") + column for column, descends in order]


def _page_size(text: str | None) -> int:
    if text is None:
        return PAGE_SIZE
    if text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_PAGE_SIZE:
        return int(text)
    raise field_error("page_size", f"It must be from 1 to {MAX_PAGE_SIZE}.", "range")


def _read_cursor(text: str | None, model: type[Model], order: Ordering) -> tuple[bool, list[Any]]:
    if text is None:
        return False, []
    try:
        direction, terms, *values = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
        fields = [cast(Field, model._meta.get_field(column)) for column, _ in order]
        position = [field.to_python(value) for field, value in zip(fields, values, strict=True)]
        if direction not in ("next", "previous") or terms != ",".join(_terms(order)) or not all(map(_fits, position)):
            raise ValueError(text)
    except (ValueError, TypeError, ArithmeticError, binascii.Error, FieldError, AttributeError, RecursionError):
        raise field_error("cursor", "This cursor is not valid here.", "format") from None
    return direction == "previous", position


def _fits(value: Any) -> bool:
    """Whether the database accepts the value: beyond 64 bits, beyond UTC's range or with NUL it raises an error."""
    if isinstance(value, datetime):
        return value.tzinfo is not None and bool(value.astimezone(UTC))
    if isinstance(value, (int, Decimal)):
        return bool(-(2**63) < value < 2**63)
    return value is not None and "\0" not in str(value)


def _beyond(order: Ordering, position: list[Any]) -> Q:
    """The rows after a position: beyond it in one column and equal in all columns before."""
    rows = Q()
    equal: dict[str, Any] = {}
    for (column, descends), value in zip(order, position, strict=True):
        rows |= Q(**equal, **{f"{column}__{'lt' if descends else 'gt'}": value})
        equal[column] = value
    return rows
