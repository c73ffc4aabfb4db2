"""PostgreSQL is killed, frozen, restarted, cut off, locked or full: rows 16, 18, 19, 20, 24, 25 of docs/promises.md."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from tests.faults.figures import PROPERTY, Recorder, figure
from tests.faults.load import Load, figures, period
from tests.faults.partition import PartitionedPostgres
from tests.support.deployment import Stack
from tests.support.os_processes import send, wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Postgres, create_database, need

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.xdist_group("without a database")]
DEADLINE_SECONDS = 5  # promise 12
RECOVERY_SECONDS = 2  # promise 16
KILL_TIMEOUT_SECONDS = 10  # --workers-kill-timeout of the Procfile
NO_LIMITS = {"THROTTLE_KEY": "99999999/min", "THROTTLE_ADDRESS": "99999999/min"}
Start = Callable[[Postgres], Stack]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the web process on the PostgreSQL of a single test."""
    with deployments() as start:
        yield start


@contextmanager
def deployments() -> Iterator[Start]:
    """A function that starts the web process on a PostgreSQL, until the block ends."""
    with ExitStack() as things:

        def on(database: Postgres) -> Stack:
            things.enter_context(database)
            url = create_database(database.url, "ccweb")
            stack = Stack(database_url=url, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED, **NO_LIMITS)
            things.enter_context(stack)
            stack.manage("migrate")
            stack.web.start()
            return stack

        yield on


def record_and_check(record: Recorder, load: Load, moments: list[float], recovered: float, name: str) -> None:
    """Record and assert what must hold for every fault: 503 in time, liveness, recovery, no loss, no hung thread."""
    begin, end = moments
    affected = load.between(begin - DEADLINE_SECONDS, end)
    print(f"\n{name}: {figures(load.between(begin, end))}; first success {recovered:.2f} s after the end")
    print(f"{name}: /healthz {figures(load.between(begin, end, '/healthz'))}")
    print(f"{name}: /readyz {figures(load.between(begin, end, '/readyz'))}")
    assert {s.status for s in affected} == {201, 503}
    assert max(s.seconds for s in affected) <= DEADLINE_SECONDS
    assert {s.status for s in load.between(begin, end, "/healthz")} == {200}
    assert recovered <= RECOVERY_SECONDS
    load.check_stored_once()
    healthz = figures(load.between(begin, end, "/healthz"))
    notes = f"{figures(load.between(begin, end))}; /healthz: {healthz}; {len(load.sent):,} actions, each stored once"
    record(PROPERTY, figure(name, None, recovered, notes))
    begun = time.monotonic()
    load.stack.web.stop()
    # A hung thread would delay it until its worker is killed. The server's log line "Killing worker" is no evidence: by
    # a race in granian it is also written about a worker that has just exited by itself.
    assert time.monotonic() - begun < KILL_TIMEOUT_SECONDS
    assert "Traceback" not in load.stack.web.log.read_text()


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_frozen_server_is_answered_by_503_in_time_and_needs_no_restart(
    start: Start, record_property: Recorder, seconds: float
) -> None:
    database = need(Postgres)
    with Load(start(database)) as load:
        load.wait_for_success()
        with period() as moments:
            database.freeze()
            time.sleep(seconds)
            assert load.stack.call("GET", "/readyz").status == 503
        database.thaw()
        recovered = load.wait_for_success()
    record_and_check(record_property, load, moments, recovered, f"20 PostgreSQL frozen {seconds} s")


@pytest.mark.parametrize("times", [1, 10])
def test_a_killed_backend_resets_the_server_and_loses_nothing(
    start: Start, record_property: Recorder, times: int
) -> None:
    database = need(Postgres)
    with Load(start(database)) as load:
        for _ in range(times):
            load.wait_for_success()
            with period() as moments:
                kill_a_backend(database)
                wait_for(lambda: connects(database), "the server to come back")
            recovered = load.wait_for_success()
            assert recovered <= RECOVERY_SECONDS
    record_and_check(
        record_property, load, moments, recovered, f"16 backend of PostgreSQL killed {times} times, the last"
    )


@pytest.mark.parametrize("times", [1, 3])
def test_a_restart_leaves_no_stale_connection(start: Start, record_property: Recorder, times: int) -> None:
    database = need(Postgres)
    with Load(start(database)) as load:
        for _ in range(times):
            load.wait_for_success()
            with period() as moments:
                database.stop()
                database.start()
            recovered = load.wait_for_success()
            time.sleep(1)
    record_and_check(record_property, load, moments, recovered, f"18 PostgreSQL restarted {times} times, the last")
    assert {s.status for s in load.between(moments[1], time.monotonic())} == {201}


@pytest.mark.long  # requires network namespaces, which not every machine permits
@pytest.mark.parametrize("seconds", [5, 60])
def test_a_partition_heals_by_itself(start: Start, record_property: Recorder, seconds: float) -> None:
    database = need(PartitionedPostgres)
    with Load(start(database)) as load:
        load.wait_for_success()
        with period() as moments:
            database.cut_off()
            time.sleep(seconds)
        database.reconnect()
        recovered = load.wait_for_success()
    record_and_check(record_property, load, moments, recovered, f"19 PostgreSQL cut off {seconds} s")


@pytest.mark.parametrize("seconds", [5, 30])
def test_a_locked_table_is_answered_by_503_in_time(start: Start, record_property: Recorder, seconds: float) -> None:
    database = need(Postgres)
    with Load(start(database)) as load:
        load.wait_for_success()
        with period() as moments, psycopg.connect(load.stack.database_url) as connection:
            connection.execute("LOCK TABLE user_actions")
            time.sleep(seconds)
        recovered = load.wait_for_success()
    record_and_check(record_property, load, moments, recovered, f"24 table locked {seconds} s")


def test_few_connections_serve_many_clients(start: Start) -> None:
    database = need(lambda: Postgres({"max_connections": "12"}))
    with Load(start(database), writers=50) as load:
        load.wait_for_success()
        with period() as moments:
            time.sleep(5)
    print(f"\n50 clients, 12 connections: {figures(load.between(*moments))}")
    assert {s.status for s in load.between(*moments)} == {201}
    load.check_stored_once()


def test_exhausted_connections_are_answered_by_503_until_some_are_free(start: Start, record_property: Recorder) -> None:
    database = need(lambda: Postgres({"max_connections": "12"}))
    with Load(start(database)) as load:
        load.wait_for_success()
        with period() as moments:
            taken = take_all_connections(database)
            time.sleep(3)
        for connection in taken:
            connection.close()
        recovered = load.wait_for_success()
    record_and_check(record_property, load, moments, recovered, "25 connections exhausted")


@pytest.fixture(scope="module", params=["kill", "freeze"])
def without_database(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The web process, after its PostgreSQL was killed or frozen."""
    with deployments() as start:
        database = need(Postgres)
        stack = start(database)
        getattr(database, request.param)()
        yield stack


@pytest.mark.parametrize("path", ["/api/actions", "/api/user-segments/1/recommendation"])
def test_without_a_database_the_api_answers_503_with_retry_after(without_database: Stack, path: str) -> None:
    stack = without_database
    answer = stack.call("GET", path)
    assert answer.status == 503
    assert (answer.headers["Content-Type"], answer.headers["Retry-After"]) == ("application/problem+json", "2")
    assert stack.call("GET", "/healthz").status == 200
    assert stack.call("GET", "/readyz").status == 503
    assert b"ccweb_database_up 0" in stack.call("GET", "/metrics").body


def test_without_a_database_the_admin_answers_503_and_not_500(without_database: Stack) -> None:
    stack = without_database
    session = {"Cookie": "sessionid=abcdefghijklmnopqrstuvwxyz012345"}
    answer = stack.call("GET", "/admin/", headers=session)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert b"Traceback" not in answer.body
    assert "Traceback" not in stack.web.log.read_text()


def connects(database: Postgres) -> bool:
    """Whether the server accepts a new connection."""
    try:
        psycopg.connect(database.url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def kill_a_backend(database: Postgres) -> None:
    """Kill (SIGKILL) a backend of the web process; PostgreSQL then ends all the others and recovers."""
    one = "SELECT pid FROM pg_stat_activity WHERE datname = 'ccweb' AND backend_type = 'client backend'"
    with psycopg.connect(database.url, autocommit=True) as connection:
        backend = connection.execute(one).fetchone()
        assert backend
        send(signal.SIGKILL, [backend[0]])
        wait_for(lambda: connection.closed or not answers(connection), "the server to end the others")


def answers(connection: psycopg.Connection) -> bool:
    """Whether a query succeeds."""
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def take_all_connections(database: Postgres) -> list[psycopg.Connection]:
    """Terminate the sessions of the web process and open as many here, until it has none."""
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ccweb'"
    taken = [psycopg.connect(database.url, autocommit=True)]
    while taken[0].execute(end).rowcount:
        try:
            while len(taken) < 100:
                taken.append(psycopg.connect(database.url))
        except psycopg.OperationalError:
            continue
    return taken
