"""Parsers of a user_id as text: in a path, a query parameter, a search field, a command line."""

from argparse import ArgumentTypeError

from rest_framework.exceptions import ValidationError

MAX_USER_ID = 2**63 - 1  # what PostgreSQL's bigint holds
LONGEST = len(str(MAX_USER_ID))  # digits


def parse(text: str) -> int | None:
    """A user_id in ASCII digits, from 1 to 2^63-1; None when the text is not one."""
    if not (text.isascii() and text.isdigit() and len(text) <= LONGEST and 1 <= int(text) <= MAX_USER_ID):
        return None
    return int(text)


def typed_user_id(text: str) -> int | None:
    """A user_id from a search field, where spaces may surround it; None when the text is not one."""
    return parse(text.strip())


def user_id_argument(text: str) -> int:
    """A user_id from a command line; raises ArgumentTypeError."""
    if (user_id := parse(text)) is None:
        raise ArgumentTypeError(f"a whole number from 1 to {MAX_USER_ID} is expected")
    return user_id


def user_id_parameter(text: str) -> int:
    """A user_id from a query parameter; raises ValidationError."""
    if (user_id := parse(text)) is None:
        raise ValidationError(f"It must be from 1 to {MAX_USER_ID}.", code="range")
    return user_id


class UserIdConverter:
    """A path converter for a user_id without leading zeros; anything else is 404."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        """Raises ValueError (404) beyond 64 bits."""
        if (user_id := parse(value)) is None:
            raise ValueError(value)
        return user_id

    def to_url(self, value: int) -> str:
        return str(value)
