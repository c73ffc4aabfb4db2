"""The ids that every event carries."""

import random
import time
from argparse import ArgumentTypeError

MAX_USER_ID = 2**63 - 1  # what PostgreSQL's bigint holds


def new_event_id() -> str:
    """A UUIDv7 (RFC 9562) as text, ascending in time to a quarter of a microsecond, which keeps its index compact."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    high = milliseconds << 16 | 7 << 12 | rest * 4096 // 1_000_000
    digits = f"{high << 64 | 2 << 62 | random.getrandbits(62):032x}"  # noqa: S311  unique, not secret; a fork seeds it anew
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def user_id_argument(text: str) -> int:
    """A user_id on a command line; ArgumentTypeError beyond 1..2^63-1."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= MAX_USER_ID):
        raise ArgumentTypeError(f"a whole number from 1 to {MAX_USER_ID} is expected")
    return int(text)


def typed_user_id(text: str) -> int | None:
    """The user_id that somebody typed into a search field; None when it is none."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and 1 <= int(digits) <= MAX_USER_ID):
        return None
    return int(digits)


class UserIdConverter:
    """A user_id in a path: 1..2^63-1 in ASCII digits; anything else is 404."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        """The number; ValueError (404) beyond 64 bits."""
        if int(value) > MAX_USER_ID:
            raise ValueError(value)
        return int(value)

    def to_url(self, value: int) -> str:
        """Decimal digits."""
        return str(value)
