"""Where the relay got to, as Kafka knows it: the rows of a large batch, committed together with their messages.

A relay that dies after Kafka's commit and before its own DELETE leaves rows that are sent again. Of a small batch that
is within the promise (docs/promises.md, 4). A large one brings the ids of its rows along, as the metadata of an offset
in its transaction: the next leader reads them, and deletes the rows instead.
"""

import re
from collections.abc import Iterator, Sequence
from functools import reduce
from hashlib import blake2b
from operator import or_

from django.db.models import Q

from actions.models import Message, OutboxMessage

SMALL, LARGE = 200, 2_000  # messages of a batch at most
LONGEST = 4_000  # characters; brokers take 4,096 bytes (offset.metadata.max.bytes)
PLACE = re.compile(r"[0-9a-f]{32}( [0-9]{1,19}-[0-9]{1,19})+")


def that_fit(messages: Sequence[Message]) -> Sequence[Message]:
    """All of them, or the first SMALL where there are too many gaps between their ids for a place to name them."""
    return messages if len(messages) <= SMALL or len(_named(messages)) <= LONGEST else messages[:SMALL]


def place_of(messages: Sequence[Message]) -> str:
    """A digest of the messages and the ranges of their ids, such as `c0ffee.. 17-230 232-232`."""
    return f"{_digest(messages)} {_named(messages)}"


def rows_left(place: str) -> list[int]:
    """The ids of the rows whose place this is, if the outbox shows all of them.

    None when others have their ids, as in a database that was restored: those have to be sent.
    """
    if not PLACE.fullmatch(place):
        return []
    digest, *ranges = place.split()
    conditions = [Q(pk__range=text.split("-")) for text in ranges]
    found = OutboxMessage.objects.filter(reduce(or_, conditions)).batch(LARGE)
    return [message.pk for message in found] if _digest(found) == digest else []


def _digest(messages: Sequence[Message]) -> str:
    text = "\n".join(f"{message.topic} {message.key} {message.payload}" for message in messages)
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _named(messages: Sequence[Message]) -> str:
    return " ".join(f"{first}-{last}" for first, last in _ranges(messages))


def _ranges(messages: Sequence[Message]) -> Iterator[tuple[int, int]]:
    first = last = messages[0].pk
    for message in messages[1:]:
        if message.pk != last + 1:
            yield first, last
            first = message.pk
        last = message.pk
    yield first, last
