"""Receipts of erasures outside the database: in the topic `erasures` and in files, to be replayed after a restore.

One JSON object per receipt: {"token", "erased_at", "counts", "key_id", "deployment"}. The token is a keyed digest of
the user_id, so a receipt names nobody; who is meant is found by computing the tokens of the users in the database.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from ccweb.api.instants import format_instant
from ccweb.api.models import ErasedUser
from ccweb.api.restored import deployment
from ccweb.events.erasure import CHUNK, token_of

NOBODY = 0  # no user has this id; its token tells one ERASURE_KEY from another


class Receipt(NamedTuple):
    """The receipt of one erasure; `token` has 32 hexadecimal digits, `key_id` names the ERASURE_KEY that made it.

    `deployment` is that of ccweb.api.restored.
    """

    token: str
    erased_at: datetime
    counts: dict[str, int] | None
    key_id: str
    deployment: str

    def as_json(self) -> str:
        """One line."""
        return json.dumps(self._asdict() | {"erased_at": format_instant(self.erased_at)})


def key_id() -> str:
    """Eight hexadecimal digits that differ between values of ERASURE_KEY."""
    return token_of(NOBODY)[:8]


def parse_receipt(text: str | bytes) -> Receipt:
    """The receipt of one line or message. Raises ValueError."""
    fields: Any = json.loads(text)
    if type(fields) is not dict or fields.keys() != set(Receipt._fields):
        raise ValueError("it is not the receipt of an erasure")
    token, erased_at = UUID(fields["token"]).hex, datetime.fromisoformat(fields["erased_at"])
    return Receipt(token, erased_at, fields["counts"], fields["key_id"], fields["deployment"])


def receipt_of(deployment: str, row: ErasedUser) -> Receipt:
    """The receipt that a row holds."""
    return Receipt(row.token.hex, row.erased_at, row.counts, key_id(), deployment)


def stored_receipts() -> Iterator[Receipt]:
    """All receipts of this database, oldest first."""
    return map(partial(receipt_of, deployment()), ErasedUser.objects.order_by("erased_at", "token").iterator())


def store_receipts(receipts: Iterable[Receipt]) -> None:
    """Store the receipts that are not stored yet: later events of their users are refused."""
    rows = (ErasedUser(token=UUID(r.token), erased_at=r.erased_at, counts=r.counts) for r in receipts)
    ErasedUser.objects.bulk_create(rows, batch_size=CHUNK // 3, ignore_conflicts=True)
