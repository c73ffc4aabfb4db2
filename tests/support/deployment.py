"""Runs the deployed system: processes of the Procfile, their commands, and HTTP requests to them."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from confluent_kafka import Message

from tests.support.kafka_topics import read_topic
from tests.support.os_processes import wait_for
from tests.support.secret_scanner import search
from tests.support.servers import Service

ROOT = Path(__file__).parents[2]


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket; its Host header is 127.0.0.1."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("127.0.0.1", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Program(Service):
    """A process type of the Procfile: web, relay or scheduler. With GRANIAN_UDS the web process has no port."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        super().__init__()
        self.working_folder = ROOT
        self._variables = dict(environment)

    @property
    def address(self) -> str:
        """host:port, or unix:/path."""
        path = self._variables.get("GRANIAN_UDS")
        return f"unix:{path}" if path else super().address

    def _environment(self) -> dict[str, str]:
        return super()._environment() | self._variables | {"PORT": str(self.port)}

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "ccweb.embedded.supervisor", self.name]  # as in the image

    def _answers(self) -> bool:
        if self.name != "web":
            return True
        try:
            return call(self.address, "GET", "/healthz", timeout=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def wait_for_workers(self) -> None:
        """Wait until both workers of the web process serve: start() returns when the first one answers."""
        wait_for(lambda: self.log.read_text().count(" runtime-1\n") == 2, "both workers to listen")


class Stack:
    """The web process on a free port, and other processes on request, all on the given servers.

    By default DEBUG is on, so that loopback needs no key, the rate limits are too high to be reached, and the relay
    runs in the web process. `variables` are environment variables that override this.
    """

    def __init__(self, *, database_url: str, redis_url: str, kafka_broker: str, **variables: str) -> None:
        self.database_url, self.redis_url, self.kafka_broker = database_url, redis_url, kafka_broker
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",
            "CCWEB_IGNORE_LOCAL": "1",
            "DEBUG": "1",
            "THROTTLE_KEY": "1000000/min",
            "THROTTLE_ADDRESS": "1000000/min",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "KAFKA_BROKER": kafka_broker,
        } | variables
        self._programs: list[Program] = []
        self.web = self.program("web")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        logs = []
        for program in reversed(self._programs):
            logs += [program.log.read_text()] if program.log.exists() else []
            program.close()
        search("\n".join(logs))

    @property
    def url(self) -> str:
        """The base URL of the web process."""
        return f"http://{self.web.address}"

    def program(self, name: str, **variables: str) -> Program:
        """A process of the Procfile on these servers, not started yet; it is closed with the stack."""
        program = Program(name, self.environment | variables)
        self._programs.append(program)
        return program

    def manage(self, *arguments: str, check: bool = True, seconds: int = 300) -> subprocess.CompletedProcess[str]:
        """Run a manage.py command; raises AssertionError with its stderr when it fails, unless check=False."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment | {"HOME": str(self.web.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One HTTP request to the web process; a body that is not bytes is sent as JSON."""
        return call(self.web.address, method, path, body, headers)

    def messages(self, at_least: int = 0, topic: str = "topic_user_actions") -> list[Message]:
        """All messages of the topic, as soon as there are `at_least` that many."""
        return read_topic(self.kafka_broker, topic, at_least=at_least)


def call(
    address: str,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30,
) -> Answer:
    """One HTTP request on a new connection; raises OSError or http.client.HTTPException."""
    host, _, socket_path = address.partition("unix:")
    connection = (
        UnixConnection(socket_path, timeout) if socket_path else http.client.HTTPConnection(host, timeout=timeout)
    )
    raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    json_type = {} if body is None else {"Content-Type": "application/json"}
    try:
        connection.request(method, path, raw, json_type | dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()
