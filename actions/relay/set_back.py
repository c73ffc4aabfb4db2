"""Whether the database was set back in time: then Kafka has receipts of erasures that it lacks.

A receipt is committed with its erasure and published after that, so a database that was not set back has every receipt
in Kafka. This finds what the database cannot know itself: a restored snapshot, a restore to a point in time, a standby
that was promoted without the last commits. A promoted standby that has all of them passes.
"""

import logging
from collections.abc import Callable, Iterator

from actions.kafka.topic_reader import NoSuchTopic, TopicReader
from actions.models import RECEIPTS
from ccweb.api.models import ErasedUser
from ccweb.api.restored import How, RestoredDatabase, deployment, record, waived_at
from ccweb.events.receipts import Receipt, parse_receipt

logger = logging.getLogger(__name__)


def refuse_set_back(heartbeat: Callable[[], None]) -> None:
    """Raise RestoredDatabase when Kafka has receipts that the database lacks, and record that for the web processes.

    Receipts older than the last waiver do not count. Raises TopicUnreadable or DatabaseError. Reads the whole topic:
    100,000 receipts took 3.2 s on two busy cores, so 1,000 are not noticed when a standby takes over.
    """
    try:
        ours = deployment()  # another one may use the same Kafka
        missing = {receipt.token: receipt for receipt in receipts_in_kafka(heartbeat) if receipt.deployment == ours}
    except NoSuchTopic:  # until the first erasure, or created just now
        return
    for token in ErasedUser.objects.values_list("token", flat=True).iterator():
        missing.pop(token.hex, None)
    since = waived_at()
    lacking = sum(since is None or receipt.erased_at > since for receipt in missing.values())
    if lacking:
        why = f"This database was set back in time: it lacks {lacking} erasures whose receipts are in Kafka"
        record(How.SET_BACK, why)
        raise RestoredDatabase(why)


def receipts_in_kafka(heartbeat: Callable[[], None] = lambda: None) -> Iterator[Receipt]:
    """All receipts in the topic; what is none is logged. Raises TopicUnreadable."""
    for found in TopicReader(RECEIPTS, heartbeat):
        try:
            yield parse_receipt(found.value or b"")
        except ValueError as error:
            logger.error("%s, partition %d, offset %d: %s", RECEIPTS, found.partition, found.offset, error)
