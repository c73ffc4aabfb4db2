"""Keyset pages: constant cost at any depth, stable while rows arrive."""

import base64
import binascii
import json
from decimal import Decimal
from typing import Any, cast

from django.core.exceptions import ValidationError as FieldError
from django.db.models import Field, Model, Q, QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from ccweb.api.errors import fault

PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000


class KeysetPagination(BasePagination):
    """{next, previous, results}, ordered by one column and the primary key.

    A cursor names the row to go on from and the direction; the order itself is the view's `order`.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """One page of rows; ValidationError for a malformed cursor or page size."""
        self.url = request.build_absolute_uri()
        self.column, descending = _order(queryset)
        backwards, position = _read_cursor(request.query_params.get("cursor"), queryset.model, self.column)
        size = _page_size(request.query_params.get("page_size"))
        downwards = descending != backwards
        if position:
            queryset = queryset.filter(_beyond(self.column, position, downwards))
        sign = "-" if downwards else ""
        rows = list(queryset.order_by(*dict.fromkeys([sign + self.column, sign + "pk"]))[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        self.rows = rows[::-1] if backwards else rows
        self.has_next = bool(rows) and (more if not backwards else True)
        self.has_previous = bool(rows) and (more if backwards else bool(position))
        return self.rows

    def get_paginated_response(self, data: Any) -> Response:
        """The page with links to its neighbours, null where there is none."""
        return Response(
            {
                "next": self._link("next", -1) if self.has_next else None,
                "previous": self._link("previous", 0) if self.has_previous else None,
                "results": data,
            }
        )

    def _link(self, direction: str, index: int) -> str:
        row = self.rows[index]
        token = json.dumps([direction, str(getattr(row, self.column)), str(row.pk)])
        return replace_query_param(self.url, "cursor", base64.urlsafe_b64encode(token.encode()).decode())

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The page for OpenAPI."""
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """cursor and page_size for OpenAPI."""
        size = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": PAGE_SIZE}
        return [
            {"name": "cursor", "in": "query", "required": False, "schema": {"type": "string"}},
            {"name": "page_size", "in": "query", "required": False, "schema": size},
        ]


def _order(queryset: QuerySet) -> tuple[str, bool]:
    """Column and whether it descends, from the queryset's first ordering term."""
    term = str((queryset.query.order_by or queryset.model._meta.ordering)[0])
    return term.lstrip("-"), term.startswith("-")


def _page_size(text: str | None) -> int:
    if text is None:
        return PAGE_SIZE
    if text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MAX_PAGE_SIZE:
        return int(text)
    raise fault("page_size", f"It must be from 1 to {MAX_PAGE_SIZE}.", "range")


def _read_cursor(text: str | None, model: type[Model], column: str) -> tuple[bool, tuple[Any, Any] | None]:
    if text is None:
        return False, None
    try:
        direction, value, pk = json.loads(base64.b64decode(text, altchars=b"-_", validate=True))
        position = cast(Field, model._meta.get_field(column)).to_python(value), model._meta.pk.to_python(pk)
        if direction not in ("next", "previous") or None in position or not _bounded(position):
            raise ValueError(text)
    except (ValueError, TypeError, binascii.Error, FieldError, AttributeError, RecursionError):
        raise fault("cursor", "This cursor is not one of ours.", "format") from None
    return direction == "previous", position


def _bounded(position: tuple[Any, Any]) -> bool:
    """Whether a column can hold it; what none can hold would be a database error."""
    numbers = [part for part in position if isinstance(part, int | Decimal)]
    return all(-(2**63) <= number < 2**63 for number in numbers) and "\0" not in str(position[0])


def _beyond(column: str, position: tuple[Any, Any], downwards: bool) -> Q:
    side = "lt" if downwards else "gt"
    if column in ("id", "pk"):
        return Q(**{f"pk__{side}": position[1]})
    return Q(**{f"{column}__{side}": position[0]}) | Q(**{column: position[0], f"pk__{side}": position[1]})
