"""The event ids that we make: UUIDv7, ascending, never the same in two processes."""

import multiprocessing
from uuid import RFC_4122, UUID

from ccweb.events.event_ids import new_event_id

COUNT = 1000


def made(_: int = 0) -> list[str]:
    return [new_event_id() for _ in range(COUNT)]


def test_ids_are_uuids_of_version_7() -> None:
    event_id = new_event_id()
    assert str(UUID(event_id)) == event_id
    assert (UUID(event_id).version, UUID(event_id).variant) == (7, RFC_4122)


def test_ids_ascend() -> None:
    ids = made()
    assert ids == sorted(set(ids))


def test_forked_processes_make_other_ids_than_their_parent() -> None:
    made()  # the generator has a state to be copied
    with multiprocessing.get_context("fork").Pool(2) as pool:
        several = [*pool.map(made, range(2)), made()]
    assert len({event_id for ids in several for event_id in ids}) == 3 * COUNT
