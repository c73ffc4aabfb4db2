"""Content negotiation for an API that speaks one language."""

from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

ANY = ("", "*/*", "application/json")


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
