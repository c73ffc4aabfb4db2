"""Erased users, stored as keyed digests of their ids.

With the digest, later events of an erased user can be refused. It does not identify the user to a reader of the
database who does not have ERASURE_KEY.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from django.conf import settings
from django.db import connection, models

from ccweb.api.models import ErasedUser
from ccweb.api.problems import Gone

CHUNK = 10_000  # parameters of one query; both databases support more


class UserErased(Exception):
    """A write function was asked to store something about a user whose data was erased; nothing has changed."""

    def __init__(self) -> None:
        super().__init__(Gone.default_detail)


@lru_cache(maxsize=10_000)
def token_of(user_id: int) -> str:
    """The keyed digest (BLAKE2b, RFC 7693, 128 bits) of a user_id, as the 32 hexadecimal digits of a UUID."""
    return blake2b(str(user_id).encode(), key=settings.ERASURE_KEY.encode()[:64], digest_size=16).hexdigest()


def erased_among(user_ids: Iterable[int]) -> set[int]:
    """Those of the users whose data was erased."""
    by_token = {token_of(user_id): user_id for user_id in user_ids}
    tokens = list(by_token)
    chunks = [tokens[start : start + CHUNK] for start in range(0, len(tokens), CHUNK)]
    erased = ErasedUser.objects.values_list("token", flat=True)
    return {by_token[token.hex] for chunk in chunks for token in erased.filter(token__in=chunk)}


def erased_among_many(user_ids: Collection[int]) -> set[int]:
    """As erased_among, for tens of thousands of users: reads all digests when that is the smaller set."""
    count = ErasedUser.objects.count()
    if not 0 < count <= len(user_ids):
        return erased_among(user_ids) if count else set()
    erased = {token.hex for token in ErasedUser.objects.values_list("token", flat=True)}
    return {user_id for user_id in user_ids if token_of(user_id) in erased}


def hold_off_erasures(model: type[models.Model]) -> None:
    """Until the end of this transaction an erasure waits, and what is read from now on shows those before it.

    To be called before erased_among by whoever then writes rows of the model. SQLite has a single writer, and an INSERT
    that reads erased_users itself (ccweb.events.insert) needs no lock of its own.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {model._meta.db_table} IN ROW EXCLUSIVE MODE")


def mark_erased(user_id: int, counts: Mapping[str, int] | None = None) -> ErasedUser | None:
    """Refuse every later event of the user; `counts` are the rows that were erased, by store.

    Returns the new receipt; None when the user was marked already and nothing more was erased.
    """
    row, is_new = ErasedUser.objects.get_or_create(token=UUID(token_of(user_id)), defaults={"counts": counts})
    if is_new:
        return row
    if not counts or not any(counts.values()):
        return None
    row.counts = {name: (row.counts or {}).get(name, 0) + count for name, count in counts.items()}
    row.save(update_fields=["counts"])
    return row
