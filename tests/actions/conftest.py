"""A web process for the tests of the commands, with a real Kafka, on either database."""

import os
import uuid
from collections.abc import Iterator

import pytest

from tests.conftest import WORKER
from tests.support.deployment import Stack
from tests.support.pytest_plugin import POSTGRES_URL, shared
from tests.support.servers import beside, create_database, need


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The web process without its relay thread, shared by all tests: each leaves the outbox empty."""
    if pytestconfig.getoption("database") == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('stack')}/db.sqlite3"
    else:
        url = create_database(POSTGRES_URL.format(shared("postgresql")), f"stack_{uuid.uuid4().hex}")
    servers = {"redis_url": beside(os.environ["REDIS_URL"], 1), "kafka_broker": need(lambda: shared(f"kafka-{WORKER}"))}
    with Stack(database_url=url, **servers, RELAY_IN_WEB="0") as stack:
        stack.manage("migrate")
        stack.web.start()
        yield stack
