"""Django's middlewares for staff, skipped for the API, whose clients have keys and no sessions."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django_otp.middleware import OTPMiddleware

from ccweb.api.routes import paths_of

FOR_STAFF_TOO = ("schema", "docs")


class OutsideTheApi:
    """Skips a middleware for requests to the API, except the schema and its documentation page."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith("/api/") and not request.path_info.startswith(paths_of(*FOR_STAFF_TOO)):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class Sessions(OutsideTheApi, SessionMiddleware):
    """Sets request.session."""


class Authentication(OutsideTheApi, AuthenticationMiddleware):
    """Sets request.user."""


class SecondFactor(OutsideTheApi, OTPMiddleware):
    """Sets request.user.is_verified: whether the session has given its second factor."""


class Messages(OutsideTheApi, MessageMiddleware):
    """Messages on the admin's pages."""
