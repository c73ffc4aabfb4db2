"""Every way in which a user_id reaches us as text: in a path, a query parameter, a search field, a command line."""

from argparse import ArgumentTypeError

from rest_framework.exceptions import ValidationError

MAX_USER_ID = 2**63 - 1  # what PostgreSQL's bigint holds
LONGEST = len(str(MAX_USER_ID))  # digits


def parse(text: str) -> int | None:
    """A user_id in ASCII digits, from 1 to 2^63-1; None when it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST and 1 <= int(text) <= MAX_USER_ID):
        return None
    return int(text)


def typed_user_id(text: str) -> int | None:
    """The same from a search field, where blanks may surround it."""
    return parse(text.strip())


def user_id_argument(text: str) -> int:
    """The same from a command line; ArgumentTypeError when it is none."""
    if (user_id := parse(text)) is None:
        raise ArgumentTypeError(f"a whole number from 1 to {MAX_USER_ID} is expected")
    return user_id


def user_id_parameter(text: str) -> int:
    """The same from a query parameter; ValidationError when it is none."""
    if (user_id := parse(text)) is None:
        raise ValidationError(f"It must be from 1 to {MAX_USER_ID}.", code="range")
    return user_id


class UserIdConverter:
    """The same in a path, without leading zeros; anything else is 404."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        """The number; ValueError (404) beyond 64 bits."""
        if (user_id := parse(value)) is None:
            raise ValueError(value)
        return user_id

    def to_url(self, value: int) -> str:
        """Decimal digits."""
        return str(value)
