"""Strict, fast DRF fields: a value of the wrong JSON type is refused, never converted.

They override run_validation, because DRF's takes longer than the insert of a list.
"""

import re
import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any
from unicodedata import category

from rest_framework.exceptions import ValidationError
from rest_framework.fields import Field, empty

from ccweb.api.event_ids import MAX_UUID, NIL_UUID, NO_EVENT, UUID_TEXT, is_nil_or_max
from ccweb.api.instants import check_bounds, format_instant, parse_instant
from ccweb.api.user_ids import MAX_USER_ID

MAX_VALUE = Decimal(10) ** 10
CENT = Decimal("0.01")
DECIMAL_TEXT = re.compile(r"-?[0-9]{1,10}(\.[0-9]{1,2})?")
# Control, format (bidi, zero-width), surrogate, private-use and separator characters. str.isprintable alone would also
# refuse characters that are newer than this Python's Unicode version, such as next year's emoji.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})
PRINTABLE = r"^( |[^\p{C}\p{Z}])*$"


class StrictField(Field):
    """A field whose `clean` gets only values that are present; the serializer handles missing ones.

    `openapi` is the JSON Schema of the input, and of the output unless `openapi_out` is set. `json_type` are the types
    of JSON values that are worth cleaning when a body is parsed by msgspec.
    """

    json_type: Any = str
    openapi: dict[str, Any] = {"type": "string"}
    openapi_out: dict[str, Any] | None = None

    def run_validation(self, data: Any = empty) -> Any:
        """The cleaned value; ValidationError with a code when it is invalid."""
        if data is empty:
            raise ValidationError("This field is required.", code="required")
        return self.clean(data)

    def clean(self, data: Any) -> Any:
        """The cleaned value of one JSON value."""
        raise NotImplementedError

    def to_internal_value(self, data: Any) -> Any:
        return self.clean(data)


class UserIdField(StrictField):
    """An integer 1..2^63-1; no strings, floats or booleans."""

    json_type = int
    openapi = {"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_USER_ID}

    def clean(self, data: Any) -> int:
        """The same integer; ValidationError with code "type" or "range"."""
        if type(data) is not int:
            raise ValidationError("A JSON integer is expected.", code="type")
        if not 1 <= data <= MAX_USER_ID:
            raise ValidationError("It must be from 1 to 9223372036854775807.", code="range")
        return data

    def to_representation(self, value: int) -> int:
        return value


class PatternField(StrictField):
    """A string that matches a regular expression entirely."""

    def __init__(self, pattern: str, expected: str, **kwargs: Any) -> None:
        self.pattern, self.expected = re.compile(pattern), expected
        self.openapi = {"type": "string", "pattern": f"^{pattern}$"}
        super().__init__(**kwargs)

    def clean(self, data: Any) -> str:
        if type(data) is not str:
            raise ValidationError("A JSON string is expected.", code="type")
        if not self.pattern.fullmatch(data):
            raise ValidationError(self.expected, code="format")
        return data

    def to_representation(self, value: str) -> str:
        return value


def is_printable(text: str, max_length: int) -> bool:
    """Whether text has 1 to max_length characters, none of them a control, bidi or zero-width character."""
    if not 1 <= len(text) <= max_length:
        return False
    return text.isprintable() or all(c == " " or category(c) not in UNPRINTABLE for c in text)


class PrintableField(StrictField):
    """A string of 1..max_length characters without control, bidi and zero-width characters."""

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        self.max_length = max_length
        self.openapi = {"type": "string", "minLength": 1, "maxLength": max_length, "pattern": PRINTABLE}
        super().__init__(**kwargs)

    def clean(self, data: Any) -> str:
        if type(data) is not str:
            raise ValidationError("A JSON string is expected.", code="type")
        if not 1 <= len(data) <= self.max_length:
            raise ValidationError(f"It must have 1 to {self.max_length} characters.", code="length")
        if not is_printable(data, self.max_length):
            raise ValidationError("Control and invisible characters are not allowed.", code="format")
        return data

    def to_representation(self, value: str) -> str:
        return value


class ValueField(StrictField):
    """A JSON number or decimal string with at most 2 places, |value| < 10^10; a Decimal with 2 places."""

    json_type = str | int  # msgspec would read a number with a point as a float
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
        if type(data) is str and DECIMAL_TEXT.fullmatch(data):  # the pattern limits range and places
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
        if type(data) is Decimal:  # the parser returns JSON numbers with a point or exponent as Decimal
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
        check_bounds(instant)
        return instant

    def to_representation(self, value: datetime) -> str:
        """UTC with Z and microseconds."""
        return format_instant(value)


class EventIdField(StrictField):
    """A UUID as text with hyphens, but not the Nil or the Max UUID; the cleaned value is text in lower case."""

    openapi = {"type": "string", "format": "uuid", "not": {"enum": [str(NIL_UUID), str(MAX_UUID)]}}
    openapi_out = {"type": "string", "format": "uuid"}

    def clean(self, data: Any) -> str:
        """The UUID in its canonical form (RFC 9562)."""
        if type(data) is not str or not UUID_TEXT.fullmatch(data):
            raise ValidationError("A UUID such as 018f3c5e-7a10-7cc0-8000-000000000000 is expected.", code="format")
        if is_nil_or_max(data):
            raise ValidationError(NO_EVENT, code="format")
        return data.lower()

    def to_representation(self, value: uuid.UUID | str) -> str:
        return str(value)
