"""Request bodies: read by the event loop, whole, within a time and a size, before any work begins."""

import asyncio
from collections.abc import Mapping
from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]

from ccweb.api.parsers import MAX_LIST_BYTES

BODY_TIMEOUT_SECONDS = 5.0  # from the end of the headers to the last byte
# A body that is too large is still read up to this size: most clients read the 413 only after sending everything.
MAX_DISCARDED_BYTES = 16 * 1024 * 1024


class LateBody(Exception):
    """The body did not arrive in time: 408."""


def length_of(headers: Mapping[str, str]) -> int:
    """The announced length in bytes; 0 for a chunked body, which no path takes, even if it announces a length."""
    text = headers.get("content-length", "0") if "transfer-encoding" not in headers else "0"
    return int(text) if text.isascii() and text.isdigit() else 0


async def receive(protocol: Any, headers: Mapping[str, str]) -> bytes:
    """The body; empty if it is larger than MAX_LIST_BYTES. Raises LateBody.

    It is empty, and so shorter than announced, when the client has closed its side. A client that waits for permission
    to send (Expect: 100-continue) is not asked to send what is too large.
    """
    length = length_of(headers)
    if not 0 < length <= MAX_DISCARDED_BYTES or (length > MAX_LIST_BYTES and "expect" in headers):
        return b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            if length <= MAX_LIST_BYTES:
                body: bytes = await protocol()  # not by chunks: each would be another turn of the server's threads
                return body
            async for _ in protocol:
                pass
            return b""
    except TimeoutError:
        raise LateBody from None
    except (ProtocolClosed, ProtocolError):
        return b""
