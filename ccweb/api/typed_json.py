"""Bodies of a known shape, parsed by msgspec in a fifth of the time of the strict parser.

msgspec only says which JSON types were sent; the values are cleaned by the fields of the serializer. What it refuses,
or may read in another way than the strict parser, is left to that: None. It takes the last of two equal keys, so a body
counts only if it has as many quotation marks as its fields need.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple
from rest_framework.exceptions import ValidationError

from ccweb.api.serializers import StrictSerializer

Cleaned = dict[str, Any]
INVALID = (msgspec.MsgspecError, UnicodeDecodeError, ValidationError)
ESCAPE, QUOTE = b"\\", b'"'


class TypedDecoder:
    """Parses and cleans one object, or a list of them, as the strict parser and the serializer would."""

    def __init__(self, serializer: type[StrictSerializer]) -> None:
        fields: dict[str, Any] = {name: field for name, field in serializer().fields.items() if not field.read_only}
        required = [(name, field.json_type) for name, field in fields.items() if field.required]
        optional = [(n, f.json_type | UnsetType, UNSET) for n, f in fields.items() if not f.required]
        struct = msgspec.defstruct(serializer.__name__, [*required, *optional], forbid_unknown_fields=True)
        self._cleaners = {name: fields[name].clean for name in struct.__struct_fields__}
        self._one, self._many = msgspec.json.Decoder(struct), msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]

    def one(self, body: bytes) -> Cleaned | None:
        """The cleaned fields that were sent; None when the strict parser has to decide."""
        if ESCAPE in body:
            return None
        fields, quotes = {}, 0
        try:
            item = self._one.decode(body)
            for name, clean in self._cleaners.items():
                if (value := getattr(item, name)) is not UNSET:
                    fields[name] = clean(value)
                    quotes += 4 if type(value) is str else 2
        except INVALID:
            return None
        return fields if quotes == body.count(QUOTE) else None

    def many(self, body: bytes) -> list[Cleaned] | None:
        """The same for each object of a list, field by field; None also if one of them is invalid."""
        if ESCAPE in body:
            return None
        try:
            items = self._many.decode(body)
            columns = dict(zip(self._cleaners, zip(*map(astuple, items), strict=True), strict=False))
            cleaned = [_clean_column(self._cleaners[name], values) for name, values in columns.items()]
        except INVALID:
            return None
        if sum(map(_quotes, columns.values())) != body.count(QUOTE):
            return None
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*cleaned, strict=True)]
        if any(UNSET in values for values in cleaned):
            return [{name: value for name, value in row.items() if value is not UNSET} for row in rows]
        return rows


def _quotes(values: Sequence[Any]) -> int:
    """How many quotation marks a field has in the items of a body: two for its name, two for a value that is text."""
    return sum(0 if value is UNSET else 4 if type(value) is str else 2 for value in values)


def _clean_column(clean: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """The cleaned values of a field; equal values, such as the types of actions, are cleaned once."""
    cleaned = {value: value if value is UNSET else clean(value) for value in set(values)}
    return [cleaned[value] for value in values]


@cache
def typed_decoder(serializer: type[StrictSerializer]) -> TypedDecoder:
    """The decoder of a serializer, made once."""
    return TypedDecoder(serializer)
