"""Instants in the API: ISO 8601 with a zone as input, UTC with Z and microseconds as output."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.exceptions import ValidationError

CLOCK_SKEW = timedelta(minutes=5)  # how far a client's clock may be ahead of the server's
DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
HOUR, MINUTE = "([01][0-9]|2[0-3])", "[0-5][0-9]"  # datetime.fromisoformat would take +05:75, and newer Pythons 24:00
CLOCK = rf"{HOUR}:{MINUTE}(:{MINUTE}([.,][0-9]{{1,9}})?)?"
INSTANT_TEXT = re.compile(rf"{DATE}T{CLOCK}(Z|[+-]{HOUR}:?{MINUTE})")
TYPED_INSTANT_TEXT = re.compile(rf"{DATE}([T ]{CLOCK}(Z|[+-]{HOUR}(:?{MINUTE})?)?)?")


def parse_instant(data: Any) -> datetime:
    """An aware UTC datetime from ISO 8601 text with a zone; ValidationError otherwise."""
    if type(data) is not str or not INSTANT_TEXT.fullmatch(data):
        raise ValidationError("ISO 8601 with a zone is expected, such as 2026-01-31T12:00:00Z.", code="format")
    try:
        return datetime.fromisoformat(data).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationError("There is no such instant.", code="format") from None


def check_bounds(instant: datetime) -> None:
    """ValidationError unless the instant of an event lies from MAX_ACTION_AGE_DAYS ago to CLOCK_SKEW from now."""
    now = timezone.now()
    if instant > now + CLOCK_SKEW:
        raise ValidationError("It lies more than 5 minutes in the future.", code="future")
    if instant < now - timedelta(days=settings.MAX_ACTION_AGE_DAYS):
        raise ValidationError(f"It is older than {settings.MAX_ACTION_AGE_DAYS} days.", code="old")


def parse_typed_instant(text: str, zone: tzinfo = UTC) -> datetime:
    """An instant from a file or a command line, in UTC: a bare date is midnight, a time without a zone is of `zone`.

    Raises ValueError.
    """
    if not TYPED_INSTANT_TEXT.fullmatch(text):
        raise ValueError("not ISO 8601")
    instant = datetime.fromisoformat(text)
    try:
        return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999 in UTC") from None


def format_instant(value: datetime) -> str:
    """UTC with Z and microseconds: 2026-01-31T12:00:00.000000Z."""
    return _text(value.astimezone(UTC))


@lru_cache(128)  # actions of a list that were sent without a time have the same one
def _text(utc: datetime) -> str:
    return utc.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"
