"""A strict JSON parser (RFC 8259): no duplicate keys, NaN, NUL or lone surrogates; limited depth and numbers."""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import IO, Any, NoReturn

from django.http import HttpRequest
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

MAX_OBJECT_BYTES = 64 * 1024
MAX_LIST_BYTES = 1024 * 1024
TOO_LARGE = "The body is larger than 64 KiB (1 MiB for a list)."
MAX_DEPTH = 32
MAX_KEYS = 200
MAX_INTEGER_DIGITS = 20
MAX_FLOAT_CHARACTERS = 64


class TooLarge(APIException):
    """413: the body is larger than the limit; none of it was stored."""

    status_code = 413
    default_code = "too_large"
    default_detail = TOO_LARGE


class StrictJSONParser(BaseParser):
    """Parses application/json in UTF-8; the detail of a ParseError (400) says what is wrong."""

    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        """The JSON value; numbers with a point or an exponent become Decimal."""
        _require_utf8(media_type or "")
        body = _read(stream, parser_context["request"])
        value = parse_json(body)
        if len(body) > MAX_OBJECT_BYTES and type(value) is not list:
            raise TooLarge
        return value


def _require_utf8(media_type: str) -> None:
    charset = media_type.lower().partition("charset=")[2].split(";")[0].strip(' "')
    if charset not in ("", "utf-8", "utf8"):
        raise UnsupportedMediaType(media_type, detail="JSON is read as UTF-8 only.")


def _read(stream: IO[bytes], request: HttpRequest) -> bytes:
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    body = stream.read()
    if len(body) < length:
        raise ParseError("The body is shorter than its Content-Length.")
    return body


def parse_json(body: bytes) -> Any:
    """The value of a UTF-8 JSON text; ParseError otherwise."""
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise ParseError("The body is not valid UTF-8.") from None
    except RecursionError:
        raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise ParseError(f"Malformed JSON: {error}") from None
    _check_depth(value, MAX_DEPTH)
    if b"\\u" in body:
        _check_characters(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ParseError("An object has the same key twice.")
    if len(members) > MAX_KEYS:
        raise ParseError(f"An object has more than {MAX_KEYS} keys.")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ParseError("An integer is beyond 64 bits.")
    return int(digits)


def _number(digits: str) -> Decimal:
    if len(digits) > MAX_FLOAT_CHARACTERS:
        raise ParseError("A number is too long.")
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent beyond 10^18
        raise ParseError("A number is out of range.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON.")


def _check_depth(value: Any, left: int) -> None:
    if not left:
        raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    for child in value.values() if type(value) is dict else value if type(value) is list else ():
        if type(child) is dict or type(child) is list:
            _check_depth(child, left - 1)


def _check_characters(value: Any) -> None:
    for text in _strings(value):
        if "\0" in text:
            raise ParseError("A string holds the NUL character.")
        if not text.isprintable() and any("\ud800" <= c <= "\udfff" for c in text):
            raise ParseError("A string holds half of a surrogate pair.")


def _strings(value: Any) -> Iterator[str]:
    if type(value) is str:
        yield value
    elif type(value) is list:
        for item in value:
            yield from _strings(item)
    elif type(value) is dict:
        yield from value
        yield from _strings(list(value.values()))


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_refuse_constant,
)
