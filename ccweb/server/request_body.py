"""Request bodies: read by the event loop, whole, within a time and a size, before any work begins."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from granian.rsgi import ProtocolClosed, ProtocolError  # type: ignore[attr-defined]

from ccweb.api.parsers import MAX_LIST_BYTES

BODY_TIMEOUT_SECONDS = 5.0  # from the end of the headers to the last byte
# Most clients read the 413 only after sending everything: so much of a body that is too large is read for them.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024


class LateBody(Exception):
    """The body did not arrive in time: 408."""


def length_of(headers: Mapping[str, str]) -> int:
    """The announced length in bytes; 0 for a chunked body, which no path takes, even if it announces a length."""
    text = headers.get("content-length", "0") if "transfer-encoding" not in headers else "0"
    return int(text) if text.isascii() and text.isdigit() else 0


def has_none(headers: Mapping[str, str]) -> bool:
    """Whether no body is announced."""
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


async def receive(protocol: Any, headers: Mapping[str, str]) -> bytes:
    """The body; empty if it is larger than MAX_LIST_BYTES: that is not read. Raises LateBody.

    It is empty, and so shorter than announced, when the client has closed its side.
    """
    if not 0 < length_of(headers) <= MAX_LIST_BYTES:
        return b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            body: bytes = await protocol()  # not by chunks: each would be another turn of the server's threads
            return body
    except TimeoutError:
        raise LateBody from None
    except (ProtocolClosed, ProtocolError):
        return b""


async def discard(protocol: Any, headers: Mapping[str, str]) -> None:
    """After the answer, read what the client sends of a body that was not read; up to a time and a size.

    A client that waits for permission to send (Expect: 100-continue) sends nothing once it has the answer.
    """
    was_read = length_of(headers) <= MAX_LIST_BYTES and "transfer-encoding" not in headers
    if was_read or "expect" in headers:
        return
    left = MAX_DISCARDED_BYTES
    with suppress(TimeoutError, ProtocolClosed, ProtocolError):
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in protocol:
                left -= len(chunk)
                if left < 0:
                    return
