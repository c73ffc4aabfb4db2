"""The request id: accepted or made for each request, and repeated in log lines and the Kafka header."""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
REQUEST_LOG = "ccweb.requests"  # the logger that writes one line a request
request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id_of(meta: Mapping[str, Any]) -> str:
    """The X-Request-ID of the client or a proxy, if it is well-formed; else a new id."""
    given = meta.get("HTTP_X_REQUEST_ID", "")
    return given if ACCEPTABLE_ID.fullmatch(given) else uuid4().hex
