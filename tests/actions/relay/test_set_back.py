"""The relay compares the receipts of erasures in Kafka with those of the database each time it becomes the leader."""

from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from django.db import connection
from django.utils import timezone

from actions.models import OutboxMessage
from actions.relay.relay import Relay
from ccweb.api.models import DatabaseRecord, ErasedUser
from ccweb.api.restored import How, RestoredDatabase, record
from ccweb.privacy import erase_user
from tests.support.api_client import post
from tests.support.kafka_topics import read_topic

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def set_back(kafka_broker: str, redis_client: redis.Redis) -> None:
    """A database that has lost the erasure of user 7, whose receipt is in Kafka."""
    if connection.vendor != "postgresql":
        pytest.skip("only databases of PostgreSQL are recognised: --database postgresql")
    erase_user(7)
    relay = Relay()
    relay.run(until_empty=True)
    assert relay.delivered == 2
    [receipt] = read_topic(kafka_broker, "erasures", at_least=1)
    assert receipt.key() == ErasedUser.objects.get().token.hex.encode()
    ErasedUser.objects.all().delete()
    post("actions", {"user_id": 7, "action_type": "login"})


def test_it_publishes_nothing_of_a_database_that_lacks_an_erasure(set_back: None) -> None:
    relay = Relay()
    with pytest.raises(RestoredDatabase, match="lacks 1 erasures.*replay_erasures"):
        relay.run(until_empty=True)
    assert (relay.delivered, OutboxMessage.objects.count()) == (0, 1)
    assert DatabaseRecord.objects.latest("id").how == "set back"
    with pytest.raises(RestoredDatabase, match="lacks 1 erasures"):  # at once, without Kafka
        Relay().run()


def test_the_receipts_of_another_deployment_on_this_kafka_do_not_count(set_back: None) -> None:
    DatabaseRecord.objects.update(deployment=uuid4())
    relay = Relay()
    relay.run(until_empty=True)
    assert relay.delivered == 1


@pytest.mark.parametrize(("minutes", "publishes"), [(-1, False), (1, True)])
def test_a_waiver_holds_for_the_erasures_before_it(set_back: None, minutes: int, publishes: bool) -> None:
    at = timezone.now() + timedelta(minutes=minutes)
    record(How.WAIVED, "a test")
    DatabaseRecord.objects.filter(how="waived").update(recorded_at=at)
    relay = Relay()
    if publishes:
        relay.run(until_empty=True)
    else:
        with pytest.raises(RestoredDatabase):
            relay.run(until_empty=True)
    assert relay.delivered == int(publishes)
