"""The embedded Kafka-protocol broker: librdkafka's mock cluster in a process of its own.

    python -m ccweb.embedded.broker PORT

It keeps the last 5 MB of each partition in memory only. It is for development on one machine: it
listens on loopback, without authentication and without storage.
"""

import ctypes
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

TOPIC = b"topic_user_actions"
PARTITIONS = 3
PRODUCER = 0  # rd_kafka_type_t
REBALANCE_DELAY_MS = 100  # with the cluster's default, 3 s, a console consumer seems to hang


def librdkafka() -> ctypes.CDLL:
    """The librdkafka inside the confluent-kafka wheel. FileNotFoundError when there is none."""
    spec = importlib.util.find_spec("confluent_kafka")
    package = Path(spec.origin).parent if spec and spec.origin else Path()
    folders = (package.parent / "confluent_kafka.libs", package / ".dylibs")
    found = [path for folder in folders for path in folder.glob("librdkafka*")]
    if not found:
        raise FileNotFoundError("no librdkafka beside the confluent_kafka package: install its wheel")
    library = ctypes.CDLL(str(found[0]))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


def start_cluster(port: int) -> str:
    """Start one broker with TOPIC on 127.0.0.1:port (0: any free port); returns its address."""
    library = librdkafka()
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    # The handle only provides the cluster's threads: its log line that no broker is configured does not matter.
    library.rd_kafka_conf_set(conf, b"log_level", b"3", error, ctypes.c_size_t(512))
    handle = ctypes.c_void_p(library.rd_kafka_new(PRODUCER, conf, error, ctypes.c_size_t(512)))
    if not handle:
        raise RuntimeError(f"librdkafka does not start: {error.value.decode()}")
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(handle, 1))
    library.rd_kafka_mock_topic_create(cluster, TOPIC, PARTITIONS, 1)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, REBALANCE_DELAY_MS)
    address = str(library.rd_kafka_mock_cluster_bootstraps(cluster).decode())
    if not port:
        return address
    move_listener(old=int(address.rpartition(":")[2]), new=port)
    library.rd_kafka_mock_broker_set_host_port(cluster, 1, b"127.0.0.1", port)
    return f"127.0.0.1:{port}"


def move_listener(*, old: int, new: int) -> None:
    """Make the cluster accept connections on port `new`. Raises OSError when `new` is in use.

    The cluster binds any free port; there is no option for it. With a fixed port, producers and
    consumers reach the broker again after a restart, so its listening socket is replaced.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", new))
        listener.listen(64)
        for descriptor in listening_descriptors(old):
            os.dup2(listener.fileno(), descriptor)


def listening_descriptors(port: int) -> Iterator[int]:
    """This process's file descriptors that accept connections on the port."""
    for name in os.listdir("/dev/fd"):
        try:
            probe = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # not a socket, or the descriptor of the listing itself
            continue
        with probe:
            accepts = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if accepts and probe.family == socket.AF_INET and probe.getsockname()[1] == port:
                yield int(name)


def main() -> None:
    """python -m ccweb.embedded.broker [PORT]: serve until SIGTERM or SIGINT."""
    address = start_cluster(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    sys.stdout.write(f"embedded broker: listening on {address}, in memory only\n")
    sys.stdout.flush()
    signal.pause()  # SIGTERM and SIGINT end the process; there is nothing to save


if __name__ == "__main__":
    main()
