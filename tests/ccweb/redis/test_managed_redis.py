"""Redis as operators have it: a user with few rights, TLS, a failover, Sentinel, a cluster."""

import asyncio
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from pytest_django import Settings

from ccweb.redis.async_client import AsyncRedis
from ccweb.redis.client import Call, CommandRefused, client, run_script, value_of
from segments.streaks import repair_thread, store
from tests.segments.acting import act, kept, naive
from tests.support.api_client import get, post
from tests.support.deployment import ROOT, Stack
from tests.support.os_processes import free_port, wait_for
from tests.support.pytest_plugin import CLOSED
from tests.support.redis_failover import HAProxy, Sentinel
from tests.support.servers import LONG_TIMEOUTS, Redis, need

OPERATIONS = (ROOT / "docs/operations.md").read_text()
WRITE = Call("return redis.call('INCRBY', KEYS[1], 1)", ["ccweb:test"])


def use(settings: Settings, url: str) -> None:
    settings.REDIS_URL = url
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": url}}


def connections(raw: redis.Redis) -> set[str]:
    """The ids of all connections."""
    return {connection["id"] for connection in raw.client_list()}


def refusals(raw: redis.Redis) -> int:
    """How many commands a server has refused because it is a replica."""
    return raw.info("errorstats").get("errorstat_READONLY", {"count": 0})["count"]


@pytest.fixture
def raw(redis_server: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(f"{redis_server.url}/0") as direct:
        yield direct


def by_threads() -> Callable[[], object]:
    return lambda: run_script(WRITE)


def by_event_loop() -> Callable[[], object]:
    loop, connection = asyncio.new_event_loop(), AsyncRedis()
    return lambda: value_of(loop.run_until_complete(connection.run_scripts([WRITE]))[0])


@pytest.mark.parametrize("begin", [by_threads, by_event_loop])
def test_a_master_that_becomes_a_replica_refuses_once_and_is_left(
    begin: Callable[[], Callable[[], object]], redis_server: Redis, raw: redis.Redis, settings: Settings
) -> None:
    use(settings, f"{redis_server.url}/0{LONG_TIMEOUTS}")
    write = begin()
    assert write() == 1
    raw.replicaof("127.0.0.1", "9")
    before = connections(raw)
    with pytest.raises(CommandRefused, match="read only replica"):
        write()
    raw.replicaof("NO", "ONE")
    assert write() == 2
    wait_for(lambda: len(before & connections(raw)) == 1, "only the connection of this test to be as before")
    assert refusals(raw) == 1


@pytest.mark.django_db(transaction=True)
def test_a_user_with_the_documented_rights_is_enough_to_count_and_to_rebuild(
    redis_server: Redis, settings: Settings
) -> None:
    line = re.search(r"^user ccweb .*$", OPERATIONS, re.MULTILINE)[0]
    acl = redis_server.folder / "users.acl"
    acl.write_text(f"user default on nopass ~* &* +@all\n{line}\n")
    redis_server.stop()
    redis_server.settings |= {"appendonly": "no", "aclfile": str(acl)}
    redis_server.start()
    use(settings, f"redis://ccweb:PASSWORD@{redis_server.address}/1{LONG_TIMEOUTS}")
    with redis.Redis.from_url(f"{redis_server.url}/1") as raw:
        for refused in ("INFO", "CONFIG GET *", "SCRIPT FLUSH", "KEYS *", "FLUSHALL"):
            assert b"no permissions" in raw.execute_command("ACL", "DRYRUN", "ccweb", *refused.split())
        post("actions", act(2, 1, 2, 3))
        repair_thread.step()
        assert store.is_complete()
        raw.save()
    post("actions", act(2, 0))
    assert get("user-segments/2/recommendation").json()["streak_count"] == 4
    redis_server.kill()
    redis_server.start()  # with the older snapshot
    with redis.Redis.from_url(f"{redis_server.url}/1") as raw:
        assert (raw.exists(store.COMPLETE), kept(raw, 2)) == (1, naive({1, 2, 3}))
        answer = get("user-segments/2/recommendation").json()
        assert (answer["streak_count"], answer["degraded"]) == (4, [])
        repair_thread.step()
        assert (raw.exists(store.COMPLETE), kept(raw, 2)) == (1, naive({0, 1, 2, 3}))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself; its key is in key.pem beside it."""
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "ca.pem"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "ca.pem"


def test_a_server_with_tls_is_used_and_one_with_an_unknown_certificate_is_not(
    certificate: Path, settings: Settings
) -> None:
    files = {"tls-cert-file": certificate, "tls-key-file": certificate.with_name("key.pem")}
    options = {name: str(path) for name, path in files.items()} | {"tls-auth-clients": "no"}
    port = free_port()
    with need(lambda: Redis(options | {"tls-ca-cert-file": str(certificate), "tls-port": str(port)})):
        url = f"rediss://127.0.0.1:{port}/0{LONG_TIMEOUTS}"
        use(settings, f"{url}&ssl_ca_certs={certificate}")
        assert (by_threads()(), by_event_loop()()) == (1, 2)
        with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
            client(url).ping()


@pytest.mark.stack
@pytest.mark.parametrize("mode", ["cluster", pytest.param("sentinel", marks=pytest.mark.long)])
def test_what_is_no_single_server_stops_the_start_with_one_line(mode: str, tmp_path: Path) -> None:
    with need(lambda: Sentinel() if mode == "sentinel" else Redis({"cluster-enabled": "yes"})) as server:
        url = f"sqlite:///{tmp_path}/db.sqlite3"
        with Stack(database_url=url, redis_url=f"{server.url}/3", kafka_broker=CLOSED, RELAY_IN_WEB="0") as stack:
            with pytest.raises(RuntimeError):
                stack.web.start()
            told = [line for line in stack.web.log.read_text().splitlines() if "REDIS_URL" in line]
    assert set(told) == {
        f"ccweb: environment variable REDIS_URL leads to a Redis in {mode} mode: "
        "expected a single server, or a proxy of the current master"
    }


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_every_connection_finds_the_new_master_behind_haproxy(fault: str, fresh_database: str) -> None:
    """Sentinel promotes the replica; the connections of the event loop, of Django and of the repair thread follow."""
    with (
        need(Redis) as master,
        need(Redis) as replica,
        Sentinel(master),
        need(lambda: HAProxy(master, replica)) as proxy,
        redis.Redis.from_url(replica.url) as raw,
    ):
        raw.replicaof(*master.address.split(":"))
        wait_for(lambda: raw.info("replication")["master_link_status"] == "up", "the replica to follow")
        time.sleep(11)  # Sentinel asks the master for its replicas every 10 s
        with Stack(database_url=fresh_database, redis_url=f"{proxy.url}/0", kafka_broker=CLOSED) as stack:
            stack.web.start()
            stack.web.wait_for_workers()
            wait_for(lambda: raw.exists(store.COMPLETE), "the streaks to be complete")
            wait_for(lambda: not degraded(stack), "no answer to be degraded")
            begun = time.monotonic()
            getattr(master, fault)()
            wait_for(lambda: raw.info("replication")["role"] == "master", "Sentinel to promote the replica", 30)
            promoted = time.monotonic()
            wait_for(lambda: not degraded(stack), "no answer to be degraded", 30)
            wait_for(lambda: raw.exists(store.COMPLETE), "the streaks to be rebuilt", 30)
            now = time.monotonic()
            print(f"promoted after {promoted - begun:.1f} s, all well {now - promoted:.1f} s later")
            assert now - promoted <= 30
            assert stack.call("POST", "/api/actions", {"user_id": 7, "action_type": "x"}).status == 201
            assert raw.get("user:7:streak_count") == b"1"
            master.thaw()


def degraded(stack: Stack) -> bool:
    """Whether one of many answers, of the loop and of Django, was given without Redis."""
    calls = [("GET", "/api/user-segments/7/recommendation"), ("GET", "/api/actions"), ("GET", "/readyz")] * 10
    answers = [stack.call(*call) for call in calls]
    assert {answer.status for answer in answers} == {200}
    return any(b'"degraded":["streak"]' in a.body or "RateLimit-Local" in a.headers for a in answers)
