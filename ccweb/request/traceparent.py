"""The header `traceparent` of W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a request is of."""

import re

# version, trace-id, parent-id, flags; ids of zeros and version ff are invalid. Later versions may append fields.
FORM = re.compile(r"(?!ff)([0-9a-f]{2})(-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?")


def traceparent_of(given: str) -> str:
    """The header in the form of version 00, which readers of any later version accept; empty if it is not valid.

    It is passed on as it came: nothing here is a span of its own.
    """
    match = FORM.fullmatch(given)
    if match is None or (match[1] == "00" and match[3]):
        return ""
    return f"00{match[2]}"
