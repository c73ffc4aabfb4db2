"""The admin's login form: failed attempts are limited by name and address, and by address alone."""

import logging
from typing import Any, cast

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from ccweb.api.authentication import digest
from ccweb.api.rate_counters import Limit, consume, refund
from ccweb.api.rate_limits import binding, network_of

logger = logging.getLogger(__name__)
WINDOW_SECONDS = 15 * 60
# By name and address together, not by name alone: otherwise any client could lock out any member of staff.
FAILURES_PER_NAME, FAILURES_PER_ADDRESS = 10, 100


class LimitedLogin(AdminAuthenticationForm):
    """The admin's form; every attempt is counted before the password is checked, a successful one is refunded."""

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for a wrong password, and beyond a limit for any password."""
        client = network_of(cast(HttpRequest, self.request).META["REMOTE_ADDR"])
        status = consume(login_limits(self.cleaned_data.get("username", ""), client))
        if not status.passed:
            minutes = -(-status.reset(binding(status)) // 60)
            logger.warning("too many failed attempts to sign in to the admin from %s", client)
            raise ValidationError(f"Too many failed attempts. Try again in {minutes} min.", code="limited")
        cleaned: dict[str, Any] = super().clean()
        refund(status)
        return cleaned


def login_limits(name: str, client: str) -> list[Limit]:
    """The limits that one attempt counts in."""
    return [
        Limit("login-name", digest(f"{name.casefold()} {client}"), FAILURES_PER_NAME, WINDOW_SECONDS),
        Limit("login-address", client, FAILURES_PER_ADDRESS, WINDOW_SECONDS),
    ]
