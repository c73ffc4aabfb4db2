"""event_ids that are derived from what an action says, so that the same line of a file always gets the same one."""

from array import array
from collections import Counter
from hashlib import sha1
from uuid import UUID

# Changing it would make every file that was imported import again as new.
NAMESPACE = UUID("5c5f1a0e-2c1b-5d0e-9a51-6b1f7c2d3e40")
VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def derived_event_id(*, user_id: str, instant: str, value: str, action_type: str, nth: int) -> str:
    """UUIDv5 (RFC 9562) of `user_id|instant|value|action_type|nth` in NAMESPACE, as 32 hexadecimal digits.

    The instant is UTC with microseconds and Z, the value has 2 places; nth counts equal actions from 0.
    """
    name = f"{user_id}|{instant}|{value}|{action_type}|{nth}"
    digest = sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:12]}5{digest[13:16]}{VARIANT[digest[16]]}{digest[17:32]}"


class EventIds:
    """Derives the event_ids of one file: the n-th equal action gets the n-th id.

    It remembers 62 bits of each id in about 16 bytes: a dict of ten million ids would take over a gigabyte.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 16))
        self._used = 0
        self._again: Counter[int] = Counter()

    def next(self, *, user_id: str, instant: str, value: str, action_type: str) -> str:
        """The event_id of the next action of the file that says this."""
        says = {"user_id": user_id, "instant": instant, "value": value, "action_type": action_type}
        event_id = derived_event_id(**says, nth=0)
        before = self._count(int(event_id[16:], 16))
        return derived_event_id(**says, nth=before) if before else event_id

    def _count(self, key: int) -> int:
        if self._used * 3 > len(self._slots) * 2:
            self._grow()
        if self._place(key):
            self._used += 1
            return 0
        self._again[key] += 1
        return self._again[key]

    def _place(self, key: int) -> bool:
        """Open addressing; a key is never 0, because of the UUID's variant bits."""
        slots, mask = self._slots, len(self._slots) - 1
        index = key & mask
        while found := slots[index]:
            if found == key:
                return False
            index = (index + 1) & mask
        slots[index] = key
        return True

    def _grow(self) -> None:
        old, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        for key in filter(None, old):
            self._place(key)
