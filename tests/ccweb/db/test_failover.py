"""PostgreSQL fails over to a standby: who leads, and how every process finds the new primary."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from ccweb.db.leader_election import SessionLock
from tests.support.deployment import Stack
from tests.support.os_processes import wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Postgres, Standby, need

pytestmark = [pytest.mark.stack, pytest.mark.long]
RECOVERY_SECONDS = 30
IS_LED = """SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s"""


@pytest.fixture
def primary() -> Iterator[Postgres]:
    with need(Postgres) as server:
        url = server.create_database("ccweb")
        Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED).manage("migrate")
        yield server


@pytest.fixture
def standby(primary: Postgres) -> Iterator[Standby]:
    with Standby(primary) as server:
        yield server


def leaders(server: Postgres, name: str) -> int:
    """How many processes lead on a server."""
    with psycopg.connect(of_hosts(server)) as database:
        return database.execute(IS_LED, [SessionLock(name).key]).fetchone()[0]


def of_hosts(*servers: Postgres) -> str:
    """The URL of the database, with several hosts."""
    return f"postgres://postgres@{','.join(server.address for server in servers)}/ccweb"


def test_no_relay_leads_on_a_server_in_recovery(primary: Postgres, standby: Standby) -> None:
    url = f"{of_hosts(standby)}?target_session_attrs=any"  # what requests may have, for reads of a standby
    with Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED) as stack:
        relay = stack.program("relay").start()
        wait_for(lambda: "in hot standby mode" in relay.log.read_text(), "the relay to say why it does not lead")
        assert leaders(standby, "relay") == 0
        standby.promote()
        wait_for(lambda: leaders(standby, "relay") == 1, "the relay to lead on the new primary", RECOVERY_SECONDS)


def test_every_process_finds_the_new_primary(primary: Postgres, standby: Standby) -> None:
    url = of_hosts(standby, primary)  # of which requests, too, take the primary only
    with Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED) as stack:
        stack.web.start()
        scheduler = stack.program("scheduler").start()
        wait_for(lambda: leaders(primary, "relay") == leaders(primary, "scheduler") == 1, "both leaders")
        wait_for(lambda: everything_works(stack), "the web process to work")
        assert leaders(standby, "relay") == 0
        primary.kill()
        begun = time.monotonic()
        standby.promote()
        wait_for(lambda: everything_works(stack), "all kinds of requests to work", RECOVERY_SECONDS)
        wait_for(lambda: leaders(standby, "relay") == leaders(standby, "scheduler") == 1, "both to lead again")
        assert time.monotonic() - begun <= RECOVERY_SECONDS
        with psycopg.connect(of_hosts(standby)) as database:
            runs = database.execute(
                "SELECT status FROM rfm_runs WHERE started_at > now() - interval '1 day'"
            ).fetchall()
            assert ("done",) in runs, scheduler.log.read_text()


def everything_works(stack: Stack) -> bool:
    """Whether the event loop stores and reads, and Django's threads too, several times in a row."""
    user = {"user_id": 7, "action_type": "login"}
    calls = [("POST", "/api/actions", user), ("POST", "/api/actions", [user, user]), ("GET", "/api/actions", None)]
    calls += [("GET", "/api/user-segments/7/recommendation", None)]
    return all(stack.call(*call).status in {200, 201} for call in [*calls * 8, ("GET", "/readyz", None)])


def test_requests_find_the_new_primary_while_the_first_host_is_silent(primary: Postgres, standby: Standby) -> None:
    url = of_hosts(primary, standby)
    servers = {"redis_url": f"redis://{CLOSED}/0", "kafka_broker": CLOSED}
    with Stack(database_url=url, **servers, RELAY_IN_WEB="0") as stack:
        stack.web.start()
        wait_for(lambda: everything_works(stack), "the web process to work")
        primary.freeze()
        standby.promote()
        begun = time.monotonic()
        with ThreadPoolExecutor(12) as pool:  # each of the old connections costs one request its deadline
            while not all(pool.map(lambda _: everything_works(stack), range(12))):
                assert time.monotonic() - begun <= RECOVERY_SECONDS
        primary.thaw()
