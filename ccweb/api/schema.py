"""The view of the OpenAPI document, which is built once in a process and kept as bytes."""

import threading
from functools import cache

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

_lock = threading.Lock()


class SchemaView(SpectacularAPIView):
    """The OpenAPI document in YAML or JSON."""

    def _get_schema_response(self, request: Request) -> HttpResponse:
        renderer = request.accepted_renderer
        disposition = f'inline; filename="{self._get_filename(request, None)}"'  # type: ignore[no-untyped-call]
        headers = {"Content-Disposition": disposition}
        return HttpResponse(document(renderer.format), content_type=renderer.media_type, headers=headers)


def build() -> None:
    """Build the document in both formats; a worker does it before its first request."""
    for renderer in (OpenApiYamlRenderer, OpenApiJsonRenderer):
        document(renderer.format)


def document(kind: str) -> bytes:
    """The document as bytes; `kind` is the format of a renderer of drf-spectacular."""
    with _lock:  # drf-spectacular loads its extensions when it first needs them, which two threads must not do at once
        return _document(kind)


@cache
def _document(kind: str) -> bytes:
    renderers: dict[str, type[BaseRenderer]] = {r.format: r for r in SpectacularAPIView.renderer_classes}
    found = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    content = renderers[kind]().render(found, renderer_context={})
    return content if isinstance(content, bytes) else content.encode()
