"""Validation of one CSV cell by the rules of the API: each function returns the canonical text or raises BadLine."""

import re
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils import timezone

from actions.models import ACTION_TYPE, ORDER_ID_LENGTH
from ccweb.api.event_ids import UUID_TEXT, is_nil_or_max
from ccweb.api.fields import DECIMAL_TEXT, is_printable
from ccweb.api.instants import CLOCK_SKEW, format_instant, parse_typed_instant
from ccweb.api.shop_clock import shop_zone
from ccweb.api.user_ids import MAX_USER_ID

ACTION_TYPE_TEXT = re.compile(ACTION_TYPE)


class BadLine(Exception):
    """One line cannot be imported; the message says why."""


def quoted(text: str) -> str:
    """Text of a file for an error message: quoted, escaped, at most 60 characters."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def user_id_of(text: str) -> str:
    """Decimal digits, 1 to 2^63-1; leading zeros are dropped."""
    if not (text.isascii() and text.isdigit() and len(text) < 40 and 1 <= int(text) <= MAX_USER_ID):
        raise BadLine(f"user {quoted(text)} is not a whole number from 1 to {MAX_USER_ID}")
    return text.lstrip("0")


@lru_cache(maxsize=100_000)  # prices repeat
def value_of(text: str) -> str:
    """A decimal number with 2 places; an empty cell is 0."""
    if not text:
        return "0.00"
    if not DECIMAL_TEXT.fullmatch(text):
        raise BadLine(f"value {quoted(text)} is not a number with at most 10 digits and 2 decimal places")
    return f"{Decimal(text) + 0:.2f}"  # + 0 turns -0 into 0


@lru_cache(maxsize=10_000)
def action_type_of(text: str) -> str:
    """A letter, then letters, digits, _ . : - (1 to 64 ASCII characters)."""
    if not ACTION_TYPE_TEXT.fullmatch(text):
        raise BadLine(f"action_type {quoted(text)} is not a letter followed by letters, digits, _ . : - (at most 64)")
    return text


def instant_of(text: str) -> str:
    """UTC as 2026-01-31T12:00:00.000000Z; a time without a zone is the shop's, a bare date its midnight."""
    return _instant_of(text, shop_zone())


@lru_cache(maxsize=10_000)  # bare dates repeat
def _instant_of(text: str, zone: ZoneInfo) -> str:
    try:
        return format_instant(parse_typed_instant(text, zone))
    except ValueError:
        raise BadLine(f"time {quoted(text)} is not an ISO 8601 date or time") from None


def latest_instant() -> str:
    """The latest instant that an action may have now, as instant_of writes it."""
    return format_instant(timezone.now() + CLOCK_SKEW)


def instant_until(latest: str, text: str) -> str:
    """As instant_of, for an instant that is not later than `latest`."""
    if (instant := instant_of(text)) > latest:
        raise BadLine(f"time {quoted(text)} is in the future")
    return instant


def order_id_of(text: str) -> str:
    """1 to 64 characters, none of them invisible; an empty cell is no order."""
    if text and not is_printable(text, ORDER_ID_LENGTH):
        raise BadLine(f"order_id {quoted(text)} is not 1 to {ORDER_ID_LENGTH} visible characters")
    return text


def event_id_of(text: str) -> str:
    """A UUID with hyphens as 32 hexadecimal digits, but not the Nil or the Max UUID."""
    if not UUID_TEXT.fullmatch(text):
        raise BadLine(f"event_id {quoted(text)} is not a UUID")
    if is_nil_or_max(text):
        raise BadLine(f"event_id {quoted(text)} identifies no event: leave the cell empty to have it derived")
    return text.replace("-", "").lower()
