"""The base class of the viewsets."""

from typing import Any, ClassVar

from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from ccweb.api.filters import PAGING, Filter, refuse_unknown_parameters


class StrictViewSet(viewsets.GenericViewSet):
    """A viewset that answers 400 to unknown or repeated query parameters."""

    filters: ClassVar[dict[str, Filter]] = {}
    orderings: ClassVar[tuple[str, ...]] = ()  # columns that `ordering` may name; none of them nullable

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse parameters last, so that a client without permission gets 401 or 403 first."""
        super().initial(request, *args, **kwargs)
        if self.action:  # without an action the answer is 405
            refuse_unknown_parameters(request, self._known_parameters())

    def _known_parameters(self) -> list[str]:
        if self.action != "list":
            return []
        return [*self.filters, *PAGING, *(["ordering"] if self.orderings else [])]

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        """Release references once the response is rendered."""
        response: Response = super().finalize_response(*args, **kwargs)
        response.add_post_render_callback(_release_references)
        return response


def _release_references(response: Response) -> None:
    """Break the cycle of view, request and response, which would keep a list in memory until garbage collection."""
    context = response.renderer_context  # type: ignore[attr-defined]  # set by DRF
    context["request"].parser_context.clear()
    context["view"].request = context["view"].response = None
    context.clear()
