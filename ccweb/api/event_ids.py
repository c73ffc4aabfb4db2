"""The rule for event_ids of clients: a UUID, but not the Nil or the Max UUID of RFC 9562.

A client that forgets to set a UUID sends one of these two for every event: all of them would be one.
"""

import re
import uuid

UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NIL_UUID, MAX_UUID = uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)
NIL_OR_MAX = {str(NIL_UUID), str(MAX_UUID)}
NO_EVENT = "The Nil and the Max UUID identify no event: send a new UUID for each event, or leave event_id out."


def is_nil_or_max(text: str) -> bool:
    """Whether the text of a UUID, in either case, is the Nil or the Max UUID."""
    return text.lower() in NIL_OR_MAX
