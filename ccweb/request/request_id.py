"""The request id: accepted or made for each request, and repeated in log lines and the Kafka header."""

import re
from secrets import token_hex

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REQUEST_LOG = "ccweb.requests"  # the logger that writes one line a request


def request_id_of(given: str) -> str:
    """The X-Request-ID of the client or a proxy, if it is well-formed; else a new id."""
    return given if ACCEPTABLE_ID.fullmatch(given) else token_hex(16)
