"""librdkafka's mock cluster: Kafka brokers in this process that return errors on request."""

import ctypes
from typing import Self

from ccweb.embedded.broker import librdkafka

PRODUCE = 0  # Kafka's API keys
END_TXN = 26
COORDINATOR_NOT_AVAILABLE = 15
NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT = 19, 20, 7
MESSAGE_TOO_LARGE, TOPIC_AUTHORIZATION_FAILED = 10, 29


class MockCluster:
    """Brokers on loopback, in memory, until `close`. Unlike Kafka they deliver messages of aborted transactions."""

    def __init__(self, brokers: int = 3) -> None:
        self._library = librdkafka()
        self._brokers = range(1, brokers + 1)
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        self._library.rd_kafka_conf_set(conf, b"log_level", b"0", error, ctypes.c_size_t(512))
        self._handle = ctypes.c_void_p(self._library.rd_kafka_new(0, conf, error, ctypes.c_size_t(512)))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._handle, brokers))
        self.address = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_topic(self, topic: str, partitions: int = 3) -> None:
        """Create a topic with one replica per partition."""
        self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1)

    def set_leader(self, topic: str, partition: int, broker: int) -> None:
        """Make the broker the leader of the partition."""
        self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker)

    def down(self, *brokers: int) -> None:
        """Stop these brokers, or all: they close and refuse connections."""
        for broker in brokers or self._brokers:
            self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def up(self, *brokers: int) -> None:
        """Start these brokers, or all, again."""
        for broker in brokers or self._brokers:
            self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def slow(self, milliseconds: int) -> None:
        """Delay every response by this many milliseconds."""
        for broker in self._brokers:
            self._library.rd_kafka_mock_broker_set_rtt(self._cluster, broker, milliseconds)

    def fail(self, api: int, *errors: int) -> None:
        """Answer the next requests of this API key with these errors, one each."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(api), ctypes.c_size_t(len(errors)), array
        )

    def clear_errors(self, api: int) -> None:
        """Remove the errors that are still queued."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, ctypes.c_int16(api))

    def close(self) -> None:
        """Destroy the cluster and its threads."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._handle)
