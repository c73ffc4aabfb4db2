"""Typed JSON: whatever msgspec accepts, the strict parser and the serializer accept with the same result."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import APIException

from actions.serializers import ActionSerializer
from ccweb.api.parsers import parse_json
from ccweb.api.typed_json import typed_decoder

pytestmark = pytest.mark.pure
EVENT_ID = "018F3C5E-7A10-7cc0-8000-000000000000"
DECODER = typed_decoder(ActionSerializer)
NAMES = st.sampled_from(["user_id", "action_type", "value", "action_timestamp", "event_id", "note", "", "user_id "])
TEXTS = st.sampled_from(
    ["00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff"]
    + [f"{datetime.now(UTC):%Y-%m-%d}T{rest}" for rest in ("10:00:00+05:75", "24:00Z", "10:00:60Z", "00:00+24:00")]
    + ["purchase", "x" * 64, "x" * 65, "1.50", "-0", "1e3", EVENT_ID, EVENT_ID.lower(), "é", "a\\u0041", "\ud800", "\0"]
    + ["2026-11-27T10:00:00Z", "2026-11-27T10:00:00,5+01:00", "2026-02-30T10:00:00Z", "0001-01-01T00:00:00+23:59"]
)
NUMBERS = st.sampled_from(
    ["0", "-0", "1", "9223372036854775807", "9223372036854775808", "1" * 21, "1.0", "1e2", "0.5", "01", "-1", "1E400"]
    + ["NaN", "Infinity", "true", "null"]
)
VALUES = st.one_of(
    TEXTS.map(json.dumps),
    TEXTS.map(lambda text: json.dumps(text, ensure_ascii=False)),
    NUMBERS,
    st.just("[]"),
    st.just("{}"),
)
GOOD = {
    "user_id": st.integers(1, 2**63 - 1).map(str),
    "action_type": st.from_regex(r"\A[A-Za-z][A-Za-z0-9_.:-]{0,63}\Z").map(json.dumps),
    "value": st.one_of(
        st.integers(-(10**9), 10**9).map(str), st.decimals(-1000, 1000, places=2).map(lambda d: f'"{d}"')
    ),
    "event_id": st.uuids().map(lambda u: f'"{u}"'),
}
SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\ufeff"])


@st.composite
def objects(draw: st.DrawFn) -> str:
    """The text of an object: valid members, some of them changed, repeated or odd."""
    members = [(name, draw(values)) for name, values in GOOD.items() if draw(st.integers(0, 3))]
    members += draw(st.lists(st.tuples(NAMES, VALUES), max_size=1))
    if members and not draw(st.integers(0, 5)):
        members.append(draw(st.sampled_from(members)))
    pairs = [f"{draw(SPACE)}{json.dumps(name)}{draw(SPACE)}:{draw(SPACE)}{value}" for name, value in members]
    return draw(SPACE) + "{" + ",".join(draw(st.permutations(pairs))) + draw(st.sampled_from(["", "", "", ","])) + "}"


def strictly(body: bytes) -> Any:
    """The cleaned fields by the strict parser; None for what it refuses."""
    try:
        data = parse_json(body)
        serializer = ActionSerializer()
        return [serializer.run_validation(d) for d in data] if type(data) is list else serializer.run_validation(data)
    except APIException:
        return None


@given(objects())
@settings(max_examples=2000)
@example('{"user_id": 1, "user_id": 2, "action_type": "x"}')
@example('{"user_id": 1, "action_type": "x", "action_type": "x"}')
@example('{"user_id": 1, "action_type": "x", "value": ""}')
def test_what_is_accepted_is_what_the_strict_parser_accepts(text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    found = DECODER.one(body)
    if found is not None:
        assert found == strictly(body)


@given(st.lists(objects(), max_size=5))
@settings(max_examples=1000)
def test_the_same_for_lists(texts: list[str]) -> None:
    body = f"[{','.join(texts)}]".encode("utf-8", "surrogatepass")
    found = DECODER.many(body)
    if found is not None:
        assert found == strictly(body)


@pytest.mark.parametrize(
    "action",
    [
        {"user_id": 1, "action_type": "login"},
        {"user_id": 2**63 - 1, "action_type": "a.b:c-d_e", "value": "19.99", "event_id": EVENT_ID},
        {"user_id": 1, "action_type": "x", "value": -5},
    ],
)
def test_usual_bodies_are_accepted(action: dict[str, Any]) -> None:
    body = json.dumps(action).encode()
    assert DECODER.one(body) == strictly(body) is not None
    mixed = json.dumps([action, {"user_id": 1, "action_type": "login"}, action]).encode()
    assert DECODER.many(mixed) == strictly(mixed) is not None
