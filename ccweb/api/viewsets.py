"""The bases of our viewsets: what they have in common is here, what differs is three attributes there."""

from typing import Any, ClassVar

from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from ccweb.api.filters import PAGING, Filter, refuse_unknown_parameters


class StrictViewSet(viewsets.GenericViewSet):
    """A viewset that answers 400 to query parameters it does not know."""

    filters: ClassVar[dict[str, Filter]] = {}
    orderings: ClassVar[tuple[str, ...]] = ()  # columns that are never null

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before any handler: authentication, permission, limits, then the parameters."""
        super().initial(request, *args, **kwargs)
        known = [*self.filters, *PAGING, *(["ordering"] if self.orderings else [])] if self.action == "list" else []
        if self.action:  # else the method is not allowed, whatever its parameters
            refuse_unknown_parameters(request, known)

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        """As DRF does; the request is let go once the answer is rendered."""
        response: Response = super().finalize_response(*args, **kwargs)
        response.add_post_render_callback(_let_go)
        return response


def _let_go(response: Response) -> None:
    """Part view, request and answer, which refer to each other: a list would live on until the collector comes."""
    context = response.renderer_context  # type: ignore[attr-defined]  # set by DRF
    context["request"].parser_context.clear()
    context["view"].request = context["view"].response = None
    context.clear()
