"""The event ids that we make: UUIDv7, ascending, never the same in two processes."""

import multiprocessing
from uuid import RFC_4122, UUID

from ccweb.events.event_ids import new_event_id


def test_ids_are_uuids_of_version_7() -> None:
    event_id = new_event_id()
    assert str(UUID(event_id)) == event_id
    assert (UUID(event_id).version, UUID(event_id).variant) == (7, RFC_4122)


def test_ids_ascend() -> None:
    ids = [new_event_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def first_of_a_child() -> str:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(new_event_id)


def test_forked_processes_do_not_repeat_the_random_part_of_their_parent() -> None:
    new_event_id()  # the generator has a state that a fork copies
    first = [first_of_a_child(), first_of_a_child(), new_event_id()]
    random_parts = {event_id.rpartition("-")[2] for event_id in first}
    assert len(random_parts) == 3
