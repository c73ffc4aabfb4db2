"""Our commands on a database of their own and a real Kafka."""

import pytest

from tests.deployment import Deployment, new_database
from tests.plugin import shared
from tests.services import need


@pytest.fixture(scope="session")
def deployment(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """One for all tests: each leaves the outbox empty."""
    broker = need(lambda: shared("kafka"))
    url = new_database(pytestconfig.getoption("database"), tmp_path_factory.mktemp("deployment"))
    deployment = Deployment(database_url=url, broker=broker)
    deployment.manage("migrate", "-v0")
    return deployment
