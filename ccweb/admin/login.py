"""The forms of signing in to the admin, password and second factor: failed attempts are limited.

By name and address, and by address alone.
"""

from typing import Any, cast

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django_otp.models import Device

from ccweb.admin.second_factor import enrol, verify
from ccweb.admin.sign_ins import log_lock_out, log_refusal, log_wrong_code
from ccweb.api.authentication import digest
from ccweb.api.rate_counters import Limit, LimitStatus, consume, refund
from ccweb.api.rate_limits import binding, network_of

WINDOW_SECONDS = 15 * 60
# By name and address together, not by name alone: otherwise any client could lock out any member of staff.
FAILURES_PER_NAME, FAILURES_PER_ADDRESS = 10, 100


class LimitedLogin(AdminAuthenticationForm):
    """The admin's form; every attempt is counted before the password is checked, a successful one is refunded."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for a wrong password, and beyond a limit for any password."""
        request, name = cast(HttpRequest, self.request), self.cleaned_data.get("username", "")
        attempt = count_attempt(name, request)
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            log_refusal(request, name)
            raise
        refund(attempt)
        return cleaned


class CodeInput(forms.TextInput):
    """A field for a code, empty again after a wrong one."""

    def format_value(self, value: Any) -> None:
        return None


class CodeForm(forms.Form):
    """Asks for a code of the second factor; `device` is what took it."""

    code = forms.CharField(max_length=20, widget=CodeInput({"autocomplete": "one-time-code", "autofocus": True}))
    device: Device

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_code(self) -> str:
        """Raises ValidationError for a wrong code, and beyond a limit for any code."""
        user, code = self.request.user, str(self.cleaned_data["code"])
        attempt = count_attempt(user.get_username(), self.request)
        try:
            self.device = self.take(user, code)
        except ValidationError:
            log_wrong_code(self.request, user.get_username())
            raise
        refund(attempt)
        return code

    def take(self, user: Any, code: str) -> Device:
        """The device that takes the code."""
        return verify(user, code)


class EnrolmentForm(CodeForm):
    """Asks for the first code of a new app; `recovery_codes` are shown once."""

    recovery_codes: list[str]

    def __init__(self, request: HttpRequest, secret: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.secret = secret

    def take(self, user: Any, code: str) -> Device:
        device, self.recovery_codes = enrol(user=user, secret=self.secret, code=code, is_verified=user.is_verified())
        return device


def count_attempt(name: str, request: HttpRequest) -> LimitStatus:
    """Count an attempt to sign in, to be refunded when it succeeds; raises ValidationError beyond a limit."""
    client = network_of(request.META["REMOTE_ADDR"])
    status = consume(login_limits(name, client))
    if not status.passed:
        minutes = -(-status.reset(binding(status)) // 60)
        log_lock_out(request, name)
        raise ValidationError(f"Too many failed attempts. Try again in {minutes} min.", code="limited")
    return status


def login_limits(name: str, client: str) -> list[Limit]:
    """The limits that one attempt counts in."""
    return [
        Limit("login-name", digest(f"{name.casefold()} {client}"), FAILURES_PER_NAME, WINDOW_SECONDS),
        Limit("login-address", client, FAILURES_PER_ADDRESS, WINDOW_SECONDS),
    ]
