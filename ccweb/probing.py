"""Does a dependency answer? One small function each, which takes half a second at most."""

import socket
import struct
import time

from django.conf import settings
from django.db import connection
from django_redis import get_redis_connection

from ccweb.request.deadline import within

CAP = 0.5  # seconds
# Kafka's ApiVersions, version 0, correlation id 1, no client id: every broker answers it, even before a login.
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def ask_database() -> None:
    """A query on this thread's connection; raises DatabaseError when it fails."""
    with within(CAP), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def ask_redis() -> None:
    """PING; raises RedisError. The client's own timeouts are shorter than the cap."""
    get_redis_connection().ping()


def ask_kafka() -> None:
    """ApiVersions to the brokers of KAFKA_BROKER until one answers; raises OSError with what the last one did.

    A bare socket, because Kafka's client would keep threads and connections for it.
    """
    deadline = time.monotonic() + CAP
    addresses = settings.KAFKA_BROKER.split(",")
    for left in range(len(addresses), 0, -1):
        try:
            return _ask_broker(addresses[-left], (deadline - time.monotonic()) / left)
        except OSError:
            if left == 1:
                raise
    return None


def _ask_broker(address: str, seconds: float) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as broker:
        broker.sendall(API_VERSIONS)
        if not broker.recv(1):
            raise ConnectionResetError(f"{address} closed the connection")
