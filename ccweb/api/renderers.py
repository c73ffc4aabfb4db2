"""JSON as it is answered, by orjson (the standard library's takes several times as long), and how it is negotiated."""

from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

ANY = ("", "*/*", "application/json")
OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME  # which orjson writes in a form of its own, DRF's encoder in ours
_default = JSONEncoder().default


def as_json(value: Any) -> bytes:
    """The value in UTF-8 without spaces; TypeError for what neither orjson nor DRF knows."""
    return orjson.dumps(value, _default, OPTIONS)


class QuickJSONRenderer(JSONRenderer):
    """DRF's, without its options of indentation: the body of every answer of the API."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """The body; empty for None."""
        return b"" if data is None else as_json(data)


class QuickNegotiation(DefaultContentNegotiation):
    """Settles at once what nearly every client asks for; the rest goes DRF's general way, 406 and 415 included."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """The parser of the body's media type, None when there is none."""
        if request.content_type == parsers[0].media_type:
            return parsers[0]
        return super().select_parser(request, parsers)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The renderer and its media type."""
        if request.META.get("HTTP_ACCEPT", "") in ANY and renderers[0].media_type == "application/json":
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)
