"""The broker of `make run`: a Kafka client must not notice that it is not Kafka."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer

from ccweb.embedded.supervisor import accepts
from tests.support.deployment import ROOT
from tests.support.os_processes import free_port, wait_for

TOPIC = "topic_user_actions"


class Broker:
    """The process, on a port that stays the same."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "ccweb.embedded.broker", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_for(lambda: accepts(self.port), "the embedded broker")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.kill()


def produce(producer: Producer, values: range) -> None:
    for value in values:
        producer.produce(TOPIC, key=str(value % 20), value=str(value))
    assert producer.flush(120) == 0


def consume(consumer: Consumer, count: int) -> list[int]:
    found: set[int] = set()  # at least once, as everywhere: a group that forms anew may read again

    def enough() -> bool:
        message = consumer.poll(0.5)
        if message is not None and not message.error():
            found.add(int(message.value()))
        return len(found) >= count

    wait_for(enough, f"{count} messages")
    return sorted(found)


def consumer_of(broker: Broker) -> Consumer:
    settings = {"group.id": "readers", "auto.offset.reset": "earliest", "session.timeout.ms": 6000, "log_level": 0}
    consumer = Consumer({"bootstrap.servers": broker.address, "enable.auto.commit": False, **settings})
    consumer.subscribe([TOPIC])
    return consumer


def test_a_group_reads_all_three_partitions_and_goes_on_from_its_commit(broker: Broker) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "acks": "all", "enable.idempotence": True})
    assert len(producer.list_topics(TOPIC).topics[TOPIC].partitions) == 3
    produce(producer, range(100))
    first = consumer_of(broker)
    assert consume(first, 100) == list(range(100))
    first.commit(asynchronous=False)
    first.close()
    produce(producer, range(100, 105))
    second = consumer_of(broker)
    assert consume(second, 5) == list(range(100, 105))
    second.close()


def test_clients_find_a_restarted_broker_on_the_same_port_which_remembers_nothing(broker: Broker) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, "log_level": 0})
    consumer = consumer_of(broker)
    produce(producer, range(10))
    assert consume(consumer, 10) == list(range(10))
    broker.kill()
    broker.start()
    produce(producer, range(10, 20))
    assert consume(consumer, 10) == list(range(10, 20))
    consumer.close()


def test_it_says_where_it_listens_and_ends_quietly(broker: Broker) -> None:
    said = broker.process.stdout.readline()  # its port is open a moment before that
    broker.process.terminate()
    assert said + broker.process.communicate()[0] == f"embedded broker: listening on {broker.address}, in memory only\n"
