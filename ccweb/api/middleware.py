"""The first door: what no view should have to think about."""

from collections.abc import Callable

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from ccweb.api.errors import plain_problem
from ccweb.api.parsing import MAX_LIST_BYTES

MAX_URL_BYTES = 4096


class RequestGuard:
    """Refuse, before parsing a body, what is malformed or too large for /api."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The refusal as problem+json, or the answer."""
        if request.path.startswith("/api/"):
            return refusal(request) or self.get_response(request)
        return self.get_response(request)


def refusal(request: HttpRequest) -> HttpResponse | None:
    """A problem for a wrong Host (400), chunked (411), encoded (415), oversized (413), over-long (414), else None."""
    meta = request.META
    try:
        request.get_host()
    except DisallowedHost:
        return plain_problem(400, "The Host header is missing or not one that is served here.")
    if "HTTP_TRANSFER_ENCODING" in meta:
        return plain_problem(411, "Chunked bodies are not read: send a Content-Length.")
    if "HTTP_CONTENT_ENCODING" in meta:
        return plain_problem(415, "Encoded bodies are not read: send plain JSON.")
    if len(request.get_full_path()) > MAX_URL_BYTES:
        return plain_problem(414, f"The URL is longer than {MAX_URL_BYTES} bytes.")
    length = meta.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return plain_problem(400, "Content-Length is malformed.")
    if int(length) > MAX_LIST_BYTES:
        return plain_problem(413, "The body is larger than 64 KiB (1 MiB for a list).")
    return None
