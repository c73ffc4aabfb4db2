"""The admin's login form: failed attempts are limited by name and address, and by address alone."""

from typing import Any, cast

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from ccweb.admin.sign_ins import log_lock_out, log_refusal
from ccweb.api.authentication import digest
from ccweb.api.rate_counters import Limit, consume, refund
from ccweb.api.rate_limits import binding, network_of

WINDOW_SECONDS = 15 * 60
# By name and address together, not by name alone: otherwise any client could lock out any member of staff.
FAILURES_PER_NAME, FAILURES_PER_ADDRESS = 10, 100


class LimitedLogin(AdminAuthenticationForm):
    """The admin's form; every attempt is counted before the password is checked, a successful one is refunded."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for a wrong password, and beyond a limit for any password."""
        request, name = cast(HttpRequest, self.request), self.cleaned_data.get("username", "")
        status = consume(login_limits(name, network_of(request.META["REMOTE_ADDR"])))
        if not status.passed:
            minutes = -(-status.reset(binding(status)) // 60)
            log_lock_out(request, name)
            raise ValidationError(f"Too many failed attempts. Try again in {minutes} min.", code="limited")
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            log_refusal(request, name)
            raise
        refund(status)
        return cleaned


def login_limits(name: str, client: str) -> list[Limit]:
    """The limits that one attempt counts in."""
    return [
        Limit("login-name", digest(f"{name.casefold()} {client}"), FAILURES_PER_NAME, WINDOW_SECONDS),
        Limit("login-address", client, FAILURES_PER_ADDRESS, WINDOW_SECONDS),
    ]
