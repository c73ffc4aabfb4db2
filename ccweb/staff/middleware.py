"""What staff need of Django on each request, kept away from the API, whose clients have keys and no sessions."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest

from ccweb.api.routes import paths_of

FOR_STAFF_TOO = ("schema", "docs")


class OutsideTheApi:
    """A middleware that the API's requests pass by."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        """What the middleware does, or at once the answer."""
        if request.path_info.startswith("/api/") and not request.path_info.startswith(paths_of(*FOR_STAFF_TOO)):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class Sessions(OutsideTheApi, SessionMiddleware):
    """request.session"""


class Authentication(OutsideTheApi, AuthenticationMiddleware):
    """request.user"""


class Messages(OutsideTheApi, MessageMiddleware):
    """The lines above the admin's pages."""
