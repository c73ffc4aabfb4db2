"""Test rig of the benchmarks: one PostgreSQL, Redis and Apache Kafka, and the servers that are compared."""

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.support.deployment import Program, Stack, call
from tests.support.servers import Kafka, Postgres, Redis

DATABASE = {  # PostgreSQL's defaults except these; synchronous_commit stays on
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",  # a checkpoint would slow down one of the measurements
    "track_io_timing": "off",
}
SCOPES = ("actions:write", "actions:read", "segments:read")
UNLIMITED = "1000000/min"


class Server(Program):
    """A web server started by a command line, in which {port} is replaced."""

    def __init__(self, name: str, command: str, environment: Mapping[str, str], probe: str = "/healthz") -> None:
        super().__init__(name, environment)
        self._line, self._probe = command, probe

    def _command(self) -> list[str]:
        return ["sh", "-c", f"exec {self._line.format(port=self.port)}"]

    def _answers(self) -> bool:
        try:
            return call(self.address, "GET", self._probe, timeout=5).status < 500
        except OSError:
            return False


class Rig:
    """The services, started once; each system has its own database, a copy of one migrated template."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self.postgres, self.redis, self.kafka = Postgres(DATABASE), Redis(), Kafka()

    def __enter__(self) -> Self:
        for service in (self.postgres, self.redis, self.kafka):
            self._running.enter_context(service)
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def database(self, name: str) -> str:
        """A migrated, empty database; returns its URL."""
        return self.postgres.create_database(name, self._template)

    @cached_property
    def _template(self) -> str:
        self.ours(self.postgres.create_database("migrated")).manage("migrate")
        return "migrated"

    def ours(self, database_url: str, redis_database: int = 0) -> Stack:
        """Our system as in production, on a database; no process is started yet."""
        production = {
            "DEBUG": "0",
            "SECRET_KEY": "a benchmark keeps no secrets, but its key must be long enough for the checks",
            "ALLOWED_HOSTS": "127.0.0.1",
            "RELAY_IN_WEB": "0",
            "THROTTLE_KEY": UNLIMITED,  # counted, never reached
            "THROTTLE_ADDRESS": UNLIMITED,
        }
        redis_url = f"{self.redis.url}/{redis_database}"
        stack = Stack(database_url=database_url, redis_url=redis_url, kafka_broker=self.kafka.address, **production)
        return self._running.enter_context(stack)

    def peer(self, name: str, command: str, database_url: str, topic: str) -> Server:
        """The web process of a peer."""
        environment = self.peer_environment(database_url) | {"PEER_TOPIC": topic}
        server = Server(name, command, environment, "/api/user-segments/1/recommendation")
        self._running.callback(server.close)
        return server

    def peer_environment(self, database_url: str) -> dict[str, str]:
        """The environment variables of a peer."""
        return {
            "PATH": search_path(),
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.peer.drf_settings",
            "PEER_DATABASE_URL": database_url,
            "PEER_REDIS_URL": f"{self.redis.url}/0",
            "PEER_KAFKA_BROKER": self.kafka.address,
        }

    def gunicorn(self, stack: Stack) -> Server:
        """Our web application on gunicorn."""
        command = "gunicorn --bind 127.0.0.1:{port} --workers 2 --worker-class gthread --threads 2 ccweb.wsgi"
        server = Server("gunicorn", command, stack.environment)
        self._running.callback(server.close)
        return server


def search_path() -> str:
    """PATH, beginning with the programs of this Python."""
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def create_key(stack: Stack) -> str:
    """Create an API key in the database of the stack."""
    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    return stack.manage("create_api_key", "benchmark", *scopes).stdout.split()[-1]
