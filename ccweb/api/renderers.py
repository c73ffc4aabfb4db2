"""JSON rendering by orjson (the standard library takes several times as long) and fast content negotiation."""

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

ANY = ("", "*/*", "application/json")
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME  # orjson's own format of datetimes differs from DRF's, which the API uses
_default = JSONEncoder().default


def as_json(value: Any) -> bytes:
    """The value in UTF-8 without spaces; TypeError for types that neither orjson nor DRF can encode."""
    return orjson.dumps(value, _default, OPTIONS)


class QuickJSONRenderer(JSONRenderer):
    """DRF's JSONRenderer by orjson, without options for indentation; used for every answer of the API."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        return b"" if data is None else as_json(data)


class QuickNegotiation(DefaultContentNegotiation):
    """A shortcut for the usual headers; all others go through DRF's negotiation, 406 and 415 included."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        if request.content_type == parsers[0].media_type:
            return parsers[0]
        if "*" in request.content_type:  # DRF would take */* for JSON
            return None
        return super().select_parser(request, parsers)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        if request.META.get("HTTP_ACCEPT", "") in ANY and renderers[0].media_type == "application/json":
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)
