"""Schemathesis reads the OpenAPI document and sends what it allows and forbids to the real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ccweb.api.models import SCOPES
from tests.support.deployment import ROOT, Stack
from tests.support.pytest_plugin import CLOSED

pytestmark = pytest.mark.stack


@pytest.fixture
def production(fresh_database: str, redis_client: redis.Redis) -> Iterator[Stack]:
    """The web process with DEBUG off, without Kafka."""
    settings = {"DEBUG": "0", "SECRET_KEY": "k" * 60, "ALLOWED_HOSTS": "127.0.0.1", "RELAY_IN_WEB": "0"}
    redis_url = os.environ["REDIS_URL"]
    with Stack(database_url=fresh_database, redis_url=redis_url, kafka_broker=CLOSED, **settings) as stack:
        stack.web.start()
        yield stack


@pytest.mark.parametrize("examples", [3, pytest.param(500, marks=pytest.mark.long)])
def test_the_document_and_the_server_agree(production: Stack, examples: int, tmp_path: Path) -> None:
    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    key = production.manage("create_api_key", "schemathesis", *scopes).stdout.split()[-1]
    headers = [f"Authorization: Api-Key {key}", "X-Forwarded-Proto: https"]
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", f"{production.url}/api/schema"),
            *(part for header in headers for part in ("--header", header)),
            *("--checks", "all", "--max-examples", str(examples), "--no-color", "--generation-database", "none"),
        ],
        cwd=tmp_path,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.ccweb.api.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout[-6000:])  # its summary; pytest shows it with -s and when the test fails
    assert done.returncode == 0, done.stderr
