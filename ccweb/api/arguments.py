"""Types of arguments of commands; each raises ArgumentTypeError, which ends the command with exit code 2."""

from argparse import ArgumentTypeError
from collections.abc import Callable

MAX_DAYS = 36_500  # a hundred years; some thousand more and dates end


def whole_number(least: int, most: int, why: str = "") -> Callable[[str], int]:
    """A whole number in ASCII digits from `least` to `most`; `why` is added to the error."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
            raise ArgumentTypeError(f"expected a whole number from {least} to {most}{why}")
        return int(text)

    return parse


def printable(text: str) -> str:
    """Text that is not empty and has only printable characters."""
    if not (text.strip() and text.isprintable()):
        raise ArgumentTypeError("expected printable text that is not empty")
    return text
