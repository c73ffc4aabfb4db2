"""The origin of the request that is being answered: repeated in log lines, stored with events and sent to Kafka."""

from contextvars import ContextVar
from typing import NamedTuple

from ccweb.request.client_address import UNKNOWN


class Origin(NamedTuple):
    """The ids of a request and who sent it, as far as that is known; what is not known is empty."""

    request_id: str = ""
    traceparent: str = ""  # see ccweb.request.traceparent
    client: str = ""  # the client address, or UNKNOWN
    key: str = ""  # the prefix of the API key, once the key was found to be valid
    refused_key: str = ""  # the prefix of a key that is unknown, revoked or expired
    staff: str = ""  # the user name of the signed-in member of staff
    key_name: str = ""

    @property
    def trace_id(self) -> str:
        """The 32 hexadecimal digits that all parts of a trace share."""
        return self.traceparent[3:35]

    def sent_by(self, other: "Origin") -> "Origin":
        """The ids of this one with what is known of the sender of another one."""
        return Origin(*self[:2], *other[2:])

    def who(self) -> dict[str, str]:
        """Who sent it, by the names of the members of a log line; the name of a key is in the table of keys."""
        named = zip(WHO, self[2:6], strict=True)
        return {name: value for name, value in named if value and (name, value) != NO_ADDRESS}


WHO = Origin._fields[2:6]
NO_ADDRESS = ("client", UNKNOWN)
NOWHERE = Origin()
origin: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def learn(**known: str) -> None:
    """Add to the origin of the current request what was found out about it."""
    origin.set(origin.get()._replace(**known))
