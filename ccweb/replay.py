"""Replays erasures on a restored database, from receipts that were kept outside it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from actions.models import ERASURES, RECEIPTS, OutboxMessage
from ccweb.api.restored import How, record
from ccweb.api.user_ids import parse
from ccweb.events.erasure import token_of
from ccweb.events.receipts import Receipt, key_id, store_receipts, stored_receipts
from ccweb.privacy import USER_MODELS, erase_user
from ccweb.staff import log_entries

STEP = 1000  # users between two reports


class OtherKey(Exception):
    """Receipts were made with another ERASURE_KEY, so their users could not be found; nothing was replayed."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} receipts were made with another ERASURE_KEY than that of these settings: set the one that the "
            "backed-up deployment had (by default its SECRET_KEY)"
        )


@dataclass
class Replay:
    """What a replay did: receipts read, receipts that the database had, users found and erased, and their rows."""

    receipts: int = 0
    known: int = 0
    users: int = 0
    rows: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.rows.items()))
        found = f"{self.users} users found again and erased{f' ({counts})' if counts else ''}"
        return f"{self.receipts} receipts, {self.known} already known, {found}"


def replay_erasures(receipts: Iterable[Receipt], report: Callable[[int], None] = lambda users: None) -> Replay:
    """Erase again every user of the receipts whom the database holds, and refuse the later events of all of them.

    Running it again changes nothing. `report` is called with the number of users of each step that were looked at.
    Raises OtherKey, and what erase_user raises: then it is to be run again.
    """
    given = {receipt.token: receipt for receipt in receipts}
    if others := sum(receipt.key_id != key_id() for receipt in given.values()):
        raise OtherKey(others)
    stored = {receipt.token for receipt in stored_receipts()}
    replay = Replay(len(given), len(given.keys() & stored))
    for user_id in sorted(_users_of(given.keys() | stored, report)):
        replay.rows.update(erase_user(user_id))
        replay.users += 1
    store_receipts(given.values())
    record(How.REPLAYED, str(replay))
    return replay


def _users_of(tokens: Collection[str], report: Callable[[int], None]) -> set[int]:
    """The users whose token is among these and whom the database names anywhere."""
    found = set()
    for count, user_id in enumerate(_users(), start=1):
        if token_of(user_id) in tokens:
            found.add(user_id)
        if count % STEP == 0:
            report(STEP)
    return found


def _users() -> Iterator[int]:
    """Every user whom a table, a waiting message or the staff log names; some of them several times."""
    for model in USER_MODELS:
        rows = model._default_manager.filter(user_id__gt=0)  # the others are pseudonyms
        yield from rows.order_by().values_list("user_id", flat=True).distinct().iterator()
    messages = OutboxMessage.objects.exclude(topic__in=(ERASURES, RECEIPTS)).order_by()
    texts = [*messages.values_list("key", flat=True).distinct(), *log_entries.numbers(USER_MODELS)]
    yield from filter(None, map(parse, texts))
