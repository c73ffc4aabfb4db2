"""Is the process alive, and can it work?"""

from django.http import HttpRequest, HttpResponse, JsonResponse


def healthz(request: HttpRequest) -> HttpResponse:
    """Liveness: the process answers; no I/O."""
    return JsonResponse({"status": "ok"})
