"""Event ids for events that are sent without one."""

from uuid_utils import uuid7


def new_event_id() -> str:
    """A UUIDv7 (RFC 9562) as text. They ascend within a process, which keeps their index compact."""
    return str(uuid7())
