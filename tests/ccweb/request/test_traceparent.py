"""The header `traceparent`, by the rules of W3C Trace Context."""

import pytest

from ccweb.request.traceparent import traceparent_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize("given", [GOOD, f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-the-future-holds"])
def test_a_valid_one_is_passed_on_in_the_form_of_version_00(given: str) -> None:
    assert traceparent_of(given) == GOOD


@pytest.mark.parametrize(
    "given",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",  # version 00 has four fields
        f"cc-{TRACE}-{PARENT}-01more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-0g",
        f"{GOOD},{GOOD}",  # sent twice
        f"{GOOD}\n",
        f" {GOOD}",
    ],
)
def test_any_other_is_ignored(given: str) -> None:
    assert traceparent_of(given) == ""
