"""Whether Kafka can be used, asked by a client with the relay's configuration; for /readyz and the overview."""

import os
from functools import cache
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from actions.kafka.config import client, topic_in_kafka
from actions.kafka.errors import Complaints, to_exception
from actions.models import TOPIC

ATTEMPT_SECONDS = (0.05, 0.05, 0.1, 0.25)  # less than the 0.5 s of /readyz
LEAST_ATTEMPTS = 3  # also when all were down: a name may have two addresses, and they may be back
USABLE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE}  # the relay creates the topic
QUIET = {"allow.auto.create.topics": False, "topic.metadata.refresh.interval.ms": -1}


def ask_kafka() -> None:
    """Ask a broker for the topic of actions; raises NotDelivered within half a second.

    The client of a process stays connected: it costs as many threads as there are brokers, and two.
    """
    _probe(os.getpid(), tuple(client().items())).ask()


@cache
def _probe(pid: int, settings: tuple[tuple[str, Any], ...]) -> "Probe":
    """The probe of this process. One that was inherited by a fork stays, because it must not be closed there."""
    return Probe()


class Probe:
    """A client that connects when it is asked for the first time, and again when its connection was lost."""

    def __init__(self) -> None:
        self._complaints = Complaints()
        self._client = Producer(client(**QUIET) | {"error_cb": self._complaints})

    def ask(self) -> None:
        """Return when a broker has answered; raises NotDelivered."""
        topic = topic_in_kafka(TOPIC)
        for number, seconds in enumerate(ATTEMPT_SECONDS, 1):
            try:
                error = self._client.list_topics(topic, timeout=seconds).topics[topic].error
            except KafkaException:
                self._client.poll(0)  # calls error_cb
                if self._complaints.all_brokers_down and number >= LEAST_ATTEMPTS:
                    break
            else:
                self._client.poll(0)  # else what a broker that is down causes would pile up
                self._complaints.clear()
                if error and error.code() not in USABLE:
                    raise to_exception([error])
                return
        raise self._complaints.explain()
