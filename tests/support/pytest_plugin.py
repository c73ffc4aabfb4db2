"""pytest plugin: starts servers for the run before Django reads the settings, and stops them at its end.

The main process of pytest owns them; xdist's workers inherit its environment. PostgreSQL (with
`--database postgresql`) and Redis are started first. Any other server starts when a test first calls `shared(name)`:
the calling process creates a file NAME.wanted, the owner writes the address into NAME.json.
"""

import atexit
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.os_processes import wait_for
from tests.support.programs import Missing
from tests.support.servers import LONG_TIMEOUTS, REDIS_DATABASES, Kafka, Postgres, Redis, Service

CLOSED = "127.0.0.1:9"  # nothing listens on the discard port, so no test uses a developer's server
START_TIMEOUT_SECONDS = 600  # the first Kafka on a machine is downloaded
POSTGRES_URL = "postgres://postgres@{}/postgres"
GROUPS = {"kafka_broker": "kafka", "world": "world", "chromium": "chromium"}  # by fixture
IMPURE_MARKS = {"django_db", "stack", "browser"}
KINDS: dict[str, Callable[[], Service]] = {
    "postgresql": lambda: Postgres({"fsync": "off", "full_page_writes": "off"}),  # no test crashes the machine
    "redis": lambda: Redis({"appendonly": "no", "databases": str(3 * REDIS_DATABASES)}),
    "kafka": Kafka,
}


class Owner:
    """Starts the requested servers, in one thread that lives as long as they do: they end with the thread."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ccweb-pytest-"))
        self._services: list[Service] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="services", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # not a hook: an aborted run calls none at its end

    def close(self) -> None:
        """Stop all servers and remove the files."""
        self._end.set()
        self._thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _watch(self) -> None:
        while not self._end.wait(0.05):
            for request in self.folder.glob("*.wanted"):
                answer = request.with_suffix(".json")
                if not answer.exists():
                    draft = request.with_suffix(".draft")
                    draft.write_text(json.dumps(self._start(request.stem)))
                    draft.rename(answer)
                request.unlink()
        for service in self._services:
            service.close()

    def _start(self, name: str) -> dict[str, str]:
        try:
            service = KINDS[name.partition("-")[0]]()
            self._services.append(service)
            return {"address": service.start().address}
        except Missing as missing:
            return {"missing": str(missing)}
        except (RuntimeError, OSError) as error:  # TimeoutError is an OSError
            return {"error": str(error)}


def shared(name: str) -> str:
    """The address (host:port) of this run's postgresql, redis or kafka; `kafka-NAME` is an additional Kafka.

    Raises Missing when this machine has no such program, RuntimeError when it did not start.
    """
    folder = Path(os.environ["CCWEB_TEST_SERVICES"])
    answer = folder / f"{name}.json"
    if not answer.exists():
        (folder / f"{name}.wanted").touch()
        wait_for(answer.exists, f"{name} to start", START_TIMEOUT_SECONDS)
    reply = json.loads(answer.read_text())
    if "missing" in reply:
        raise Missing(reply["missing"])
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["address"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=("sqlite", "postgresql"), default="sqlite", help="the database of Django")


@pytest.hookimpl(wrapper=True)  # a wrapper runs before pytest-django, which loads the settings in this hook
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
        folder = Owner().folder
        os.environ["CCWEB_TEST_SERVICES"] = str(folder)
        os.environ |= environment(folder, early_config.known_args_namespace.database)
    return (yield)


def environment(folder: Path, database: str) -> dict[str, str]:
    """The environment variables of this run for Django's settings; starts the servers that they name."""
    sqlite = f"sqlite:///{folder}/db.sqlite3"
    return {
        "CCWEB_IGNORE_LOCAL": "1",  # ignore .env and the state of `make run`
        "SECRET_KEY": "only-tests-see-this-one",
        "DEBUG": "1",
        "THROTTLE_KEY": "1000000/min",  # no test reaches these; tests of the limits set their own
        "THROTTLE_ADDRESS": "1000000/min",
        "DATABASE_URL": sqlite if database == "sqlite" else url("postgresql", POSTGRES_URL, sqlite),
        "REDIS_URL": url("redis", f"redis://{{}}/0{LONG_TIMEOUTS}", f"redis://{CLOSED}/0"),
        "KAFKA_BROKER": CLOSED,  # a test that needs Kafka uses the fixture kafka_broker
    }


def url(name: str, template: str, default: str) -> str:
    """The URL of a shared server, or `default` when it is missing; fixtures then skip the tests that need it."""
    try:
        return template.format(shared(name))
    except Missing:
        return default


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[Any]) -> None:
    """Give each worker its own Redis database, as pytest-django does for SQL."""
    base = os.environ["REDIS_URL"].rpartition("/")[0]
    for number, spec in enumerate(specs):
        spec.env["REDIS_URL"] = f"{base}/{number % REDIS_DATABASES}{LONG_TIMEOUTS}"


@pytest.hookimpl(tryfirst=True)  # before -m and xdist read the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests as pure or with kafka, and note the group of each for the scheduler.

    A pure test runs on one database only: it starts no process of the project, and pytest-django lets no test without
    its mark or fixtures use a database. Tests that share a Kafka or a world run on one worker, which starts it once.
    Groups that start processes come first, so that no worker is left with a long one at the end. The rest keeps
    pytest-django's order: its transactional tests empty the tables that the others need.
    """
    groups = {}
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if not (IMPURE_MARKS & {mark.name for mark in item.iter_markers()} or {"db", "transactional_db"} & fixtures):
            item.add_marker("pure")
        if "kafka_broker" in fixtures:
            item.add_marker("kafka")
        for name in GROUPS.keys() & fixtures:
            item.add_marker(pytest.mark.xdist_group(GROUPS[name]))
        if group := item.get_closest_marker("xdist_group"):
            groups[item.nodeid] = group.args[0]
    last = {groups.get(item.nodeid) for item in items if is_transactional(item)}
    items.sort(key=lambda item: groups.get(item.nodeid) in {None, *last})
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        Path(os.environ["CCWEB_TEST_SERVICES"], f"groups.{worker}").write_text(json.dumps(groups))


def is_transactional(item: pytest.Item) -> bool:
    """Whether it leaves Django's database empty, even of what the migrations have put there."""
    mark = item.get_closest_marker("django_db")
    fixtures = {"transactional_db", "live_server"} & set(getattr(item, "fixturenames", ()))
    return bool(fixtures or mark and mark.kwargs.get("transaction"))


class ByGroup(LoadScopeScheduling):
    """Tests of one xdist_group go to one worker, which starts what they share once; the others to whoever is free.

    Not xdist's own --dist loadgroup, which hangs the group on node ids in a way that pytest 9.2 no longer has.
    """

    def schedule(self) -> None:
        self._groups: dict[str, str] = {}
        for noted in Path(os.environ["CCWEB_TEST_SERVICES"]).glob("groups.*"):
            self._groups |= json.loads(noted.read_text())
        self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup | None:
    return ByGroup(config, log) if config.getvalue("dist") == "load" else None


def pytest_report_header(config: pytest.Config) -> str:
    servers = (os.environ[name] for name in ("DATABASE_URL", "REDIS_URL"))
    return f"servers: {', '.join(servers)}; Kafka on request"
