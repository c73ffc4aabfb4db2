"""One log line for each attempt to sign in to the admin: signed in, refused, or locked out, and from where."""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest

logger = logging.getLogger(__name__)


@receiver(user_logged_in)
def log_sign_in(request: HttpRequest | None, user: Any, **kwargs: Any) -> None:
    """The password was right, and a session has begun."""
    _log(logging.INFO, "signed in", user.get_username(), request)


def log_refusal(request: HttpRequest, name: str) -> None:
    """The password was wrong, or the account may not sign in."""
    _log(logging.WARNING, "sign-in refused", known_name(name), request)


def log_wrong_code(request: HttpRequest, name: str) -> None:
    """The password was right, the code of the second factor was not."""
    _log(logging.WARNING, "wrong second factor", name, request)


def log_lock_out(request: HttpRequest, name: str) -> None:
    """There were too many attempts before; the password was not looked at."""
    _log(logging.WARNING, "sign-in locked out", known_name(name), request)


def known_name(typed: str) -> str:
    """The name if an account has it, else empty: somebody may have typed their password into the wrong field."""
    accounts = get_user_model()._default_manager
    return typed if accounts.filter(**{get_user_model().USERNAME_FIELD: typed}).exists() else ""


def _log(level: int, what: str, name: str, request: HttpRequest | None) -> None:
    client = request.META.get("REMOTE_ADDR", "") if request else ""
    fields = {"staff": name, "client": client}
    message = f"{what}: {name or 'unknown user'} from {client or 'this machine'}"
    logger.log(level, message, extra={"fields": {key: value for key, value in fields.items() if value}})
