"""The streaks in Redis: the functions that send commands.

Each raises DependencyUnavailable when Redis is unavailable and CommandRefused when it replies with an error (it is out
of memory, it is a replica). Neither is retried here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from django.utils import timezone

from ccweb.redis.circuit_breaker import DependencyUnavailable
from ccweb.redis.client import Call, value_of
from segments.streaks import lua
from segments.streaks.from_actions import Run
from segments.streaks.redis_connection import COMPLETE, command, run_script

REBUILDING = "ccweb:streaks:rebuilding"  # the lock of the rebuild
LOCK_SECONDS = 300  # more than the statement takes until its first row
NONE = Run(0, 0)
EPOCH, DAY_SECONDS = date(1970, 1, 1).toordinal(), 86_400
Found = tuple[bytes | None, bytes | None, int]
Notes = dict[int, bytes]  # user_id -> our note in Redis, b"" for none


def streak_key(user_id: int) -> str:
    """The key of the streak, which other systems use too."""
    return f"user:{user_id}:streak_count"


def keys(user_id: int) -> tuple[str, str]:
    """The keys of the streak and of our note of it."""
    return streak_key(user_id), f"ccweb:streak:{user_id}"


def count_call(days: Mapping[int, Iterable[int]]) -> Call:
    """The call that counts new days (ordinals) of users."""
    arguments = [" ".join(map(str, sorted(new))) for new in days.values()]
    return Call(lua.COUNT, [COMPLETE, *_pairs(days)], [*_clock(), *arguments])


def undecided(user_ids: Sequence[int], reply: Any) -> Notes:
    """The users whose streak only the database can determine, from the reply of `count_call`."""
    return _notes(user_ids, value_of(reply))


def write_if_unchanged(notes: Notes, runs: Mapping[int, Run]) -> Notes:
    """Write streaks that the database returned after the notes were read. Returns the notes that changed since."""
    arguments = [part for user_id, note in notes.items() for part in (note, *runs.get(user_id, NONE))]
    return _notes(list(notes), run_script(lua.WRITE_IF_UNCHANGED, _pairs(notes), [*_clock(), *arguments]))


def restore(runs: Sequence[tuple[int, Run]]) -> Notes:
    """Write streaks from the database. Returns the notes that are newer, which are not overwritten."""
    user_ids = [user_id for user_id, _ in runs]
    arguments = [part for _, run in runs for part in run]
    return _notes(user_ids, run_script(lua.RESTORE, _pairs(user_ids), [*_clock(), *arguments]))


def read_call(user_ids: Sequence[int]) -> Call:
    """The call that reads for each user the streak, our note, and whether the streaks are complete."""
    return Call(lua.READ, [COMPLETE, *_pairs(user_ids)])


def parse_replies(replies: Sequence[Any]) -> list[Found]:
    """The result of `read_call` from its replies. Raises DependencyUnavailable when there is none."""
    if not replies:
        raise DependencyUnavailable("redis did not answer the call that was sent with it")
    return _found(value_of(replies[0]))


def read_notes(user_ids: Collection[int]) -> Notes:
    """Our notes of these users."""
    found = command("MGET", *(keys(user_id)[1] for user_id in user_ids))
    return {user_id: note or b"" for user_id, note in zip(user_ids, found, strict=True)}


def read_streaks(user_ids: Sequence[int]) -> list[bytes | None]:
    """The stored streaks; None for a missing key or one that is not a string."""
    found: list[bytes | None] = command("MGET", *map(streak_key, user_ids))
    return found


def delete(user_id: int) -> int:
    """Delete the keys of an erased user. Returns how many existed."""
    return int(command("DEL", *keys(user_id)))


def is_complete() -> bool:
    """Whether Redis holds all streaks."""
    return bool(command("EXISTS", COMPLETE))


def mark_incomplete() -> None:
    """Delete the completeness mark: all processes read streaks from the database until the next rebuild."""
    command("DEL", COMPLETE)


def lock_rebuild(token: str) -> bool:
    """Take the lock of the rebuild; False when it is held."""
    return bool(command("SET", REBUILDING, token, "NX", "EX", LOCK_SECONDS))


def hold_rebuild(token: str) -> bool:
    """Extend the lock by LOCK_SECONDS; False when Redis has lost it."""
    return bool(command("SET", REBUILDING, token, "XX", "EX", LOCK_SECONDS))


def complete_rebuild(token: str) -> bool:
    """Mark the streaks complete; False when Redis lost data since the lock was taken."""
    run_script(lua.SINCE % token, [], [])  # before the mark: check_restart deletes a mark without it
    return bool(run_script(lua.MARK_COMPLETE, [COMPLETE, REBUILDING], [token]))


def _found(reply: Sequence[Any]) -> list[Found]:
    complete, *values = reply
    return [(streak, note, complete) for streak, note in zip(values[::2], values[1::2], strict=True)]


def _pairs(user_ids: Iterable[int]) -> list[str]:
    return [key for user_id in user_ids for key in keys(user_id)]


def _clock() -> tuple[int, int]:
    """Today (ordinal) and the milliseconds left of it, by our own clock, which determines the days of streaks."""
    days, spent = divmod(timezone.now().timestamp(), DAY_SECONDS)
    return EPOCH + int(days), int((DAY_SECONDS - spent) * 1000) + 1


def _notes(user_ids: Sequence[int], found: Iterable[tuple[int, bytes]]) -> Notes:
    return {user_ids[index - 1]: note for index, note in found}
