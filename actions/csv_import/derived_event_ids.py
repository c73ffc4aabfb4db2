"""event_ids that are derived from what an action says, so that the same line of a file always gets the same one."""

from array import array
from collections import Counter
from hashlib import sha1
from uuid import UUID

# Changing it would make every file that was imported import again as new.
NAMESPACE = UUID("5c5f1a0e-2c1b-5d0e-9a51-6b1f7c2d3e40")
PREFIX = NAMESPACE.bytes
VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid5_digits(name: str) -> str:
    """UUIDv5 (RFC 9562) of the name in NAMESPACE, as 32 hexadecimal digits: uuid.uuid5 in a third of its time."""
    digest = sha1(PREFIX + name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:12]}5{digest[13:16]}{VARIANT[digest[16]]}{digest[17:32]}"


class EventIds:
    """Derives the event_ids of one file: UUIDv5 of `user_id|time|value|action_type|n` for the n-th equal action.

    The time is UTC with microseconds and Z, the value has 2 places, n counts from 0. It remembers 62 bits of each id in
    about 16 bytes: a dict of ten million ids would take over a gigabyte.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 16))
        self._used = 0
        self._again: Counter[int] = Counter()

    def next(self, user_id: str, instant: str, value: str, action_type: str) -> str:
        """The event_id of the next action of the file that says this."""
        says = f"{user_id}|{instant}|{value}|{action_type}|"
        event_id = uuid5_digits(says + "0")
        key = int(event_id[16:], 16)
        if self._place(key):
            return event_id
        self._again[key] += 1
        return uuid5_digits(f"{says}{self._again[key]}")

    def _place(self, key: int) -> bool:
        """Remember a key, False when it is known: open addressing. The UUID's variant bits keep it from being 0."""
        slots, mask = self._slots, len(self._slots) - 1
        index = key & mask
        while found := slots[index]:
            if found == key:
                return False
            index = (index + 1) & mask
        slots[index] = key
        self._used += 1
        if self._used * 3 > mask * 2:
            self._grow()
        return True

    def _grow(self) -> None:
        old, self._slots, self._used = self._slots, array("Q", bytes(16 * len(self._slots))), 0
        for key in filter(None, old):
            self._place(key)
