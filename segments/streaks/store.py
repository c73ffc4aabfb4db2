"""The streaks in Redis: every command that is sent about them.

Each function raises DependencyUnavailable when Redis does not answer and CommandRefused when it answers with an error
(its memory is full, it is a replica): neither is retried here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from django.utils import timezone

from ccweb.redis.circuit_breaker import DependencyUnavailable
from ccweb.redis.client import Call, answer
from segments.streaks import lua
from segments.streaks.from_actions import Run
from segments.streaks.redis_connection import COMPLETE, command, run_script

REBUILDING = "ccweb:streaks:rebuilding"  # held by whoever rebuilds
LOCK_SECONDS = 300  # longer than the statement takes before its first row
NONE = Run(0, 0)
EPOCH, DAY_SECONDS = date(1970, 1, 1).toordinal(), 86_400
Found = tuple[bytes | None, bytes | None, int]
Notes = dict[int, bytes]  # user_id -> our note as it stands in Redis, b"" for none


def streak_key(user_id: int) -> str:
    """The key that other systems know."""
    return f"user:{user_id}:streak_count"


def keys(user_id: int) -> tuple[str, str]:
    """The streak and our note of it."""
    return streak_key(user_id), f"ccweb:streak:{user_id}"


def count(days: Mapping[int, Iterable[int]]) -> Notes:
    """Count new days (ordinals) of users; returns those whom only the database can decide."""
    arguments = [" ".join(map(str, sorted(new))) for new in days.values()]
    return _notes(list(days), run_script(lua.COUNT, [COMPLETE, *_pairs(days)], [*_clock(), *arguments]))


def write_if_unchanged(notes: Notes, runs: Mapping[int, Run]) -> Notes:
    """Write what the database told about users after their notes were read; returns those that changed since."""
    arguments = [part for user_id, note in notes.items() for part in (note, *runs.get(user_id, NONE))]
    return _notes(list(notes), run_script(lua.WRITE_IF_UNCHANGED, _pairs(notes), [*_clock(), *arguments]))


def restore(runs: Sequence[tuple[int, Run]]) -> Notes:
    """Write what the database told; returns those about whom somebody knew something newer."""
    user_ids = [user_id for user_id, _ in runs]
    arguments = [part for _, run in runs for part in run]
    return _notes(user_ids, run_script(lua.RESTORE, _pairs(user_ids), [*_clock(), *arguments]))


def read(user_ids: Sequence[int]) -> list[Found]:
    """For each user the streak as it stands there, our note, and whether the streaks are complete: one call."""
    return _found(run_script(*read_call(user_ids)))


def read_call(user_ids: Sequence[int]) -> Call:
    """The call of `read`, for whoever has another one to make."""
    return Call(lua.READ, [COMPLETE, *_pairs(user_ids)])


def parse_replies(replies: Sequence[Any]) -> list[Found]:
    """The same from what was answered to it; DependencyUnavailable when nothing was."""
    if not replies:
        raise DependencyUnavailable("redis did not answer the other call")
    return _found(answer(replies[0]))


def read_notes(user_ids: Collection[int]) -> Notes:
    """Our notes of these users."""
    found = command("MGET", *(keys(user_id)[1] for user_id in user_ids))
    return {user_id: note or b"" for user_id, note in zip(user_ids, found, strict=True)}


def read_streaks(user_ids: Sequence[int]) -> list[bytes | None]:
    """The streaks as they stand there; None also for a key that holds no text."""
    found: list[bytes | None] = command("MGET", *map(streak_key, user_ids))
    return found


def delete(user_id: int) -> int:
    """Delete what Redis holds of an erased user; returns how many keys that were."""
    return int(command("DEL", *keys(user_id)))


def is_complete() -> bool:
    """Whether every streak that lives is in Redis."""
    return bool(command("EXISTS", COMPLETE))


def mark_incomplete() -> None:
    """Have everybody ask the database until the next rebuild."""
    command("DEL", COMPLETE)


def lock_rebuild(token: str) -> bool:
    """Whether this caller may rebuild now."""
    return bool(command("SET", REBUILDING, token, "NX", "EX", LOCK_SECONDS))


def hold_rebuild(token: str) -> bool:
    """Keep the lock for another while; False when Redis has lost it."""
    return bool(command("SET", REBUILDING, token, "XX", "EX", LOCK_SECONDS))


def complete_rebuild(token: str) -> bool:
    """Mark the streaks complete; False when Redis lost data since the lock was taken."""
    return bool(run_script(lua.COMPLETE, [COMPLETE, REBUILDING], [token]))


def _found(said: Sequence[Any]) -> list[Found]:
    complete, *values = said
    return [(streak, note, complete) for streak, note in zip(values[::2], values[1::2], strict=True)]


def _pairs(user_ids: Iterable[int]) -> list[str]:
    return [key for user_id in user_ids for key in keys(user_id)]


def _clock() -> tuple[int, int]:
    """Today (ordinal) and the milliseconds that are left of it, by the clock that decides about days: ours."""
    days, spent = divmod(timezone.now().timestamp(), DAY_SECONDS)
    return EPOCH + int(days), int((DAY_SECONDS - spent) * 1000) + 1


def _notes(user_ids: Sequence[int], places: Iterable[tuple[int, bytes]]) -> Notes:
    return {user_ids[place - 1]: note for place, note in places}
