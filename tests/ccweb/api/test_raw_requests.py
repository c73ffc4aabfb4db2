"""Bad input as bytes, to the real server: every row of promises part C that is ours, in this project's terms."""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccweb.api.event_ids import MAX_UUID, NIL_UUID
from tests.support.deployment import Stack
from tests.support.pytest_plugin import CLOSED
from tests.support.raw_http import Answer, exchange, request
from tests.support.servers import create_database

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("raw requests")]
GOOD = b'{"user_id": 7, "action_type": "login"}'
ID = str(uuid.uuid4())
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


def field(name: str, value: str) -> bytes:
    """A good action but for one field, given as JSON text."""
    fields = {"user_id": "7", "action_type": '"login"'} | {name: value}
    return ("{" + ", ".join(f'"{n}": {v}' for n, v in fields.items()) + "}").encode()


def nested(opening: str, closing: str, depth: int) -> bytes:
    return field("value", opening * depth + "1" + closing * depth)


BODIES = {
    "1 empty": (b"", 400),
    "2 one brace": (b"{", 400),
    "3 invalid UTF-8": (b'{"user_id": 7, "action_type": "\xff"}', 400),
    "4 a number": (b"1", 400),
    "5 null": (b"null", 400),
    "6 an empty list": (b"[]", 400),
    "6 a list of numbers": (b"[1, 2]", 207),
    "7 no action_type": (b'{"user_id": 7}', 400),
    "8 unknown field": (field("is_admin", "true"), 400),
    "9 the same key twice": (b'{"user_id": 7, "user_id": 8, "action_type": "a"}', 400),
    "10 user_id as text": (field("user_id", '"1"'), 400),
    "11 user_id as float": (field("user_id", "1.0"), 400),
    "12 user_id true": (field("user_id", "true"), 400),
    "12 user_id 1.5": (field("user_id", "1.5"), 400),
    "12 user_id 1e400": (field("user_id", "1e400"), 400),
    "13 user_id 0": (field("user_id", "0"), 400),
    "13 user_id -1": (field("user_id", "-1"), 400),
    "14 user_id 2^63": (field("user_id", str(2**63)), 400),
    "14 user_id of 10,000 digits": (field("user_id", "9" * 10_000), 400),
    "16 NaN": (field("value", "NaN"), 400),
    "16 Infinity": (field("value", "Infinity"), 400),
    "16 1e999": (field("value", "1e999"), 400),
    "16 exponent beyond Decimal": (field("value", "1e99999999999999999999"), 400),
    "17 NUL in a string": (field("action_type", '"a\\u0000"'), 400),
    "18 NUL in a key": (field("a\\u0000", "1"), 400),
    "19 half a surrogate pair": (field("action_type", '"\\ud800"'), 400),
    "19 half a surrogate pair as key": (field("\\ud800", "1"), 400),
    "20 a raw NUL": (field("action_type", '"a\0"'), 400),
    "21 arrays 33 deep": (nested("[", "]", 33), 400),
    "21 arrays 1,000 deep": (nested("[", "]", 1000), 400),
    "22 objects 1,000 deep": (nested('{"a":', "}", 1000), 400),
    "22 arrays 30,000 deep": (b"[" * 30_000 + b"]" * 30_000, 400),
    "22 arrays 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, 400),
    "23 an integer of 4,000 digits": (field("value", "1" * 4000), 400),
    "24 an integer of 5,000 digits": (field("value", "1" * 5000), 400),
    "24 a float of 60,000 digits": (field("value", "1." + "1" * 60_000), 400),
    "25 an object over 64 KiB": (GOOD + b" " * 65_536, 413),
    "26 12 MB": (b" " * 12_000_000, 413),
    "28 an object of 5,000 keys": (b"{" + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}", 400),
    "29 UTF-16": (GOOD.decode().encode("utf-16"), 400),
    "29 a BOM": (b"\xef\xbb\xbf" + GOOD, 400),
    "34 action_type of 65": (field("action_type", f'"{"a" * 65}"'), 400),
    "34 blank action_type": (field("action_type", '""'), 400),
    "34 action_type a list": (field("action_type", '["a"]'), 400),
    "35 action_type 5": (field("action_type", "5"), 400),
    "37 bidi in a string": (field("action_type", '"a\\u202eb"'), 400),
    "37 script in a string": (field("action_type", '"<script>"'), 400),
    "38 no zone": (field("action_timestamp", '"2026-11-01T10:00:00"'), 400),
    "39 the year 9998": (field("action_timestamp", '"9998-01-01T00:00:00Z"'), 400),
    "40 the year 0": (field("action_timestamp", '"0000-01-01T00:00:00Z"'), 400),
    "40 0001+14:00": (field("action_timestamp", '"0001-01-01T00:00:00+14:00"'), 400),
    "40 9999-14:00": (field("action_timestamp", '"9999-12-31T23:59:59-14:00"'), 400),
    "40 a leap second": (field("action_timestamp", '"2016-12-31T23:59:60Z"'), 400),
    "40 the offset +05:75": (field("action_timestamp", f'"{TODAY}T01:00:00+05:75"'), 400),
    "40 the offset +24:00": (field("action_timestamp", f'"{TODAY}T01:00:00+24:00"'), 400),
    "40 24:00": (field("action_timestamp", f'"{YESTERDAY}T24:00:00Z"'), 400),
    "40 second 60": (field("action_timestamp", f'"{YESTERDAY}T12:00:60Z"'), 400),
    "40 an epoch integer": (field("action_timestamp", "1700000000"), 400),
    "41 ten years ago": (field("action_timestamp", '"2016-01-01T00:00:00Z"'), 400),
    "42 value NaN": (field("value", '"NaN"'), 400),
    "42 value sNaN": (field("value", '"sNaN"'), 400),
    "42 value 1e30": (field("value", "1e30"), 400),
    "42 value with 3 places": (field("value", '"1.005"'), 400),
    "42 value 1E-1000000": (field("value", "1E-1000000"), 400),
    "42 value 1E1000000": (field("value", "1E1000000"), 400),
    "43 event_id zz": (field("event_id", '"zz"'), 400),
    "43 event_id 2^200": (field("event_id", str(2**200)), 400),
    "43 event_id -1": (field("event_id", "-1"), 400),
    "43 event_id a list": (field("event_id", "[]"), 400),
    "43 event_id Nil": (field("event_id", f'"{NIL_UUID}"'), 400),
    "43 event_id Max": (field("event_id", f'"{MAX_UUID}"'), 400),
    "43 event_id Max in capitals": (field("event_id", f'"{str(MAX_UUID).upper()}"'), 400),
}
HEADERS = {
    "27 chunked": (
        request(length=-1, extra="Transfer-Encoding: chunked\r\n") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD),
        411,
    ),
    "30 charset=foo": (request(GOOD, content_type="application/json; charset=foo"), 415),
    "31 text/plain": (request(GOOD, content_type="text/plain"), 415),
    "31 any type": (request(GOOD, content_type="*/*"), 415),
    "31 any application": (request(GOOD, content_type="application/*"), 415),
    "31 no Content-Type": (request(GOOD, content_type=None), 415),
    "32 a form": (request(b"user_id=7&action_type=a", content_type="application/x-www-form-urlencoded"), 415),
    "32 multipart": (request(b"--x--", content_type="multipart/form-data; boundary=x"), 415),
    "33 gzip": (request(GOOD, extra="Content-Encoding: gzip\r\n"), 415),
    "53 two Content-Lengths": (request(GOOD, extra="Content-Length: 3\r\n"), 400),
    "54 a header of 9,000 bytes": (request(GOOD, extra=f"X-A: {'a' * 9000}\r\n"), 431),
    "54 120 headers": (request(GOOD, extra="".join(f"X-{n}: 1\r\n" for n in range(120))), 431),
    "54 a URL of 5 kB": (request(GOOD, path="/api/actions?a=" + "a" * 5000), 414),
    "55 Host evil.com": (request(GOOD, host="evil.com"), 400),
    "55 two Hosts": (request(GOOD, extra="Host: localhost\r\n"), 400),
    "55 no Host": (request(GOOD, host=None), 400),
    "56 DELETE": (request(method="DELETE"), 405),
    "56 TRACE": (request(method="TRACE"), 405),
    "56 FOO": (request(method="FOO"), 405),
    "56 an override": (request(method="GET", extra="X-HTTP-Method-Override: DELETE\r\n"), 200),
    "56 a cookie that is not ASCII": (request(method="GET", extra="Cookie: theme=caf\xe9\r\n"), 200),
    "57 a trailing slash": (request(GOOD, path="/api/actions/"), 404),
    "58 Accept: application/xml": (request(GOOD, extra="Accept: application/xml\r\n"), 406),
    "58 ?format=api": (request(method="GET", path="/api/actions?format=api"), 400),
    "64 id 2^63": (request(method="GET", path=f"/api/user-segments/{2**63}/recommendation"), 404),
    "64 id 2^200": (request(method="GET", path=f"/api/user-segments/{2**200}/recommendation"), 404),
    "64 id 0": (request(method="GET", path="/api/user-segments/0/recommendation"), 404),
    "65 id -1": (request(method="GET", path="/api/user-segments/-1/recommendation"), 404),
    "65 an Arabic digit": (request(method="GET", path="/api/user-segments/%D9%A1/recommendation"), 404),
    "65 5,000 digits": (request(method="GET", path=f"/api/user-segments/{'1' * 5000}/recommendation"), 414),
    "66 abc": (request(method="GET", path="/api/user-segments/abc/recommendation"), 404),
    "66 %00": (request(method="GET", path="/api/user-segments/%00/recommendation"), 404),
    "66 %ff": (request(method="GET", path="/api/user-segments/%ff/recommendation"), 404),
    "66 CRLF": (request(method="GET", path="/api/user-segments/1%0d%0aFLUSHALL/recommendation"), 404),
    "68 ?a=%00": (request(GOOD, path="/api/actions?a=%00"), 400),
    "68 1,100 parameters": (request(GOOD, path="/api/actions?" + "&".join(["a=1"] * 1100)), 414),
}
BEFORE_THE_APP = {"53 two Content-Lengths", "54 a header of 9,000 bytes", "54 120 headers"}  # the server's own answers


@pytest.fixture(scope="module")
def stack(postgresql_server: str, migrated_database: str) -> Iterator[Stack]:
    """One web process for all rows, without a relay: what was queued stays to be counted."""
    url = create_database(postgresql_server, f"raw_{uuid.uuid4().hex}", migrated_database)
    quiet = {"RELAY_IN_WEB": "0", "LOG_LEVEL": "CRITICAL", "THROTTLE_ADDRESS": "1000000/min"}
    with Stack(database_url=url, redis_url=os.environ["REDIS_URL"], kafka_broker=CLOSED, **quiet) as running:
        running.web.start()
        yield running


@pytest.fixture(scope="module")
def address(stack: Stack) -> tuple[str, int]:
    host, _, port = stack.web.address.partition(":")
    return host, int(port)


def stored(address: tuple[str, int]) -> list:
    return exchange(address, request(method="GET")).json()["results"]


def check_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


@pytest.mark.parametrize("row", BODIES)
def test_a_bad_body_is_refused_as_a_problem_and_stores_nothing(row: str, address: tuple[str, int]) -> None:
    body, status = BODIES[row]
    before = stored(address)
    check_problem(exchange(address, request(body)), status)
    assert stored(address) == before


@pytest.mark.parametrize("row", HEADERS)
def test_a_bad_request_is_refused_as_a_problem_and_stores_nothing(row: str, address: tuple[str, int]) -> None:
    raw, status = HEADERS[row]
    before = stored(address)
    answer = exchange(address, raw)
    assert answer.status == status, answer
    if row not in BEFORE_THE_APP:
        check_problem(answer, status)
    if status == 405:
        assert "POST" in answer.headers["allow"]
    assert stored(address) == before


def test_row_49_fifty_parallel_equal_requests_store_one_row(stack: Stack, address: tuple[str, int]) -> None:
    body = field("event_id", f'"{ID}"')
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: exchange(address, request(body)), range(50)))
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    assert len({answer.body for answer in answers}) == 1
    assert [a["event_id"] for a in stored(address)].count(ID) == 1
    with psycopg.connect(stack.database_url) as connection:
        queued = connection.execute("SELECT count(*) FROM outbox WHERE headers ->> 'event_id' = %s", [ID]).fetchone()
    assert queued == (1,)


def test_row_50_an_event_id_is_free_after_a_400(address: tuple[str, int]) -> None:
    event_id = str(uuid.uuid4())
    bad = field("event_id", f'"{event_id}", "value": "x"')
    assert exchange(address, request(bad)).status == 400
    assert exchange(address, request(field("event_id", f'"{event_id}"'))).status == 201


def test_row_51_a_body_shorter_than_its_length_stores_nothing(address: tuple[str, int]) -> None:
    before = stored(address)
    check_problem(exchange(address, request(GOOD, length=len(GOOD) + 5), half_close=True), 400)
    assert stored(address) == before


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {"user_id": JSON_LIKE | st.just(7), "action_type": JSON_LIKE | st.just("login")},
    optional={"value": JSON_LIKE, "action_timestamp": JSON_LIKE, "event_id": JSON_LIKE},
)


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@settings(max_examples=300)
@given(body=st.binary(max_size=200) | NEARLY.map(as_bytes) | st.lists(NEARLY, min_size=1, max_size=3).map(as_bytes))
def test_any_bytes_get_a_2xx_or_a_problem(body: bytes, address: tuple[str, int]) -> None:
    answer = exchange(address, request(body))
    assert answer.status in (200, 201, 207, 400, 409), answer
    if answer.status >= 400:
        check_problem(answer, answer.status)
