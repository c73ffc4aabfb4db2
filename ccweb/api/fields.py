"""Strict and quick DRF fields: a value of the wrong JSON type is refused, never converted.

They override run_validation, because DRF's general one costs more than the insert of a list.
"""

import re
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unicodedata import category

from django.conf import settings
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.fields import Field, empty

from ccweb.api.instants import CLOCK_SKEW, format_instant, parse_instant
from ccweb.api.user_ids import MAX_USER_ID

MAX_VALUE = Decimal(10) ** 10
CENT = Decimal("0.01")
DECIMAL_TEXT = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,2})?")
# Control, format (bidi, zero-width), surrogate, private and separator characters; str.isprintable also refuses what
# this Python does not know yet, such as next year's emoji.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})
PRINTABLE = r"^( |[^\p{C}\p{Z}])*$"
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class StrictField(Field):
    """A field whose `clean` gets a value that is present; absent ones are the serializer's affair.

    `openapi` is its JSON Schema; `openapi_out` that of what is answered, where it differs from what is taken.
    """

    openapi: dict[str, Any] = {"type": "string"}
    openapi_out: dict[str, Any] | None = None

    def run_validation(self, data: Any = empty) -> Any:
        """The cleaned value; ValidationError with a code when it is not of the field's kind."""
        if data is empty:
            raise ValidationError("This field is required.", code="required")
        return self.clean(data)

    def clean(self, data: Any) -> Any:
        """The cleaned value of one JSON value."""
        raise NotImplementedError

    def to_internal_value(self, data: Any) -> Any:
        """As DRF calls it."""
        return self.clean(data)


class UserIdField(StrictField):
    """An integer 1..2^63-1; no strings, floats or booleans."""

    openapi = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_USER_ID}

    def clean(self, data: Any) -> int:
        """The same integer."""
        if type(data) is not int:
            raise ValidationError("A JSON integer is expected.", code="type")
        if not 1 <= data <= MAX_USER_ID:
            raise ValidationError("It must be from 1 to 9223372036854775807.", code="range")
        return data

    def to_representation(self, value: int) -> int:
        """The integer."""
        return value


class PatternField(StrictField):
    """A string that matches a regular expression as a whole."""

    def __init__(self, pattern: str, expected: str, **kwargs: Any) -> None:
        self.pattern, self.expected = re.compile(pattern), expected
        self.openapi = {"type": "string", "pattern": f"^{pattern}$"}
        super().__init__(**kwargs)

    def clean(self, data: Any) -> str:
        """The same string."""
        if type(data) is not str:
            raise ValidationError("A JSON string is expected.", code="type")
        if not self.pattern.fullmatch(data):
            raise ValidationError(self.expected, code="format")
        return data

    def to_representation(self, value: str) -> str:
        """The string."""
        return value


class PrintableField(StrictField):
    """A string of 1..max_length printable characters: none that is known to be control, bidi or zero-width."""

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        self.max_length = max_length
        self.openapi = {"type": "string", "minLength": 1, "maxLength": max_length, "pattern": PRINTABLE}
        super().__init__(**kwargs)

    def clean(self, data: Any) -> str:
        """The same string."""
        if type(data) is not str:
            raise ValidationError("A JSON string is expected.", code="type")
        if not 1 <= len(data) <= self.max_length:
            raise ValidationError(f"It must have 1 to {self.max_length} characters.", code="length")
        if not data.isprintable() and any(c != " " and category(c) in UNPRINTABLE for c in data):
            raise ValidationError("Control and invisible characters are not allowed.", code="format")
        return data

    def to_representation(self, value: str) -> str:
        """The string."""
        return value


class ValueField(StrictField):
    """A JSON number or decimal string with at most 2 places, |value| < 10^10; a Decimal with 2 places."""

    openapi = {
        "oneOf": [
            {"type": "string", "pattern": f"^{DECIMAL_TEXT.pattern}$"},
            {
                "type": "number",
                "minimum": -int(MAX_VALUE),
                "exclusiveMinimum": True,
                "maximum": int(MAX_VALUE),
                "exclusiveMaximum": True,
                "multipleOf": 0.01,
            },
        ]
    }
    openapi_out = {"type": "string", "pattern": r"^-?[0-9]{1,10}\.[0-9]{2}$"}

    def clean(self, data: Any) -> Decimal:
        """The value in units of the web application's currency."""
        if type(data) is str and DECIMAL_TEXT.fullmatch(data):  # which is in range and has no more places
            return Decimal(data).quantize(CENT) + 0  # + 0 turns -0 into 0
        number = self._number(data)
        if not number.copy_abs() < MAX_VALUE:  # abs() would overflow on 1E1000000
            raise ValidationError("It must be between -10^10 and 10^10, both excluded.", code="range")
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -2:
            raise ValidationError("At most 2 decimal places.", code="places")
        return number.quantize(CENT) + 0

    def _number(self, data: Any) -> Decimal:
        if type(data) is int:
            return Decimal(data)
        if type(data) is Decimal:  # what the parser makes of a JSON number with a point or exponent
            return data
        raise ValidationError("A JSON number or a decimal string is expected.", code="type")

    def to_representation(self, value: Decimal) -> str:
        """A string with 2 places."""
        return f"{value:.2f}"


class InstantField(StrictField):
    """ISO 8601 with a zone, from MAX_ACTION_AGE_DAYS ago to 5 minutes from now; an aware UTC datetime."""

    openapi = {"type": "string", "format": "date-time"}

    def clean(self, data: Any) -> datetime:
        """The instant in UTC."""
        instant = parse_instant(data)
        now = timezone.now()
        if instant > now + CLOCK_SKEW:
            raise ValidationError("It lies more than 5 minutes in the future.", code="future")
        if instant < now - timedelta(days=settings.MAX_ACTION_AGE_DAYS):
            raise ValidationError(f"It is older than {settings.MAX_ACTION_AGE_DAYS} days.", code="old")
        return instant

    def to_representation(self, value: datetime) -> str:
        """UTC with Z and microseconds."""
        return format_instant(value)


class EventIdField(StrictField):
    """A UUID as text with hyphens; it stays text, in lower case."""

    openapi = {"type": "string", "format": "uuid"}

    def clean(self, data: Any) -> str:
        """The UUID's canonical form."""
        if type(data) is not str or not UUID_TEXT.fullmatch(data):
            raise ValidationError("A UUID such as 018f3c5e-7a10-7cc0-8000-000000000000 is expected.", code="format")
        return data.lower()

    def to_representation(self, value: uuid.UUID | str) -> str:
        """Lower-case hexadecimal with hyphens."""
        return str(value)
