"""Hostile clients cost honest ones nothing, directly and through the proxy of deploy/nginx.conf."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.benchmarks.load import resident_mb
from tests.faults.attacks import ATTACKS, Address, Attack, Honest, honest_client
from tests.faults.figures import PROPERTY, Recorder, figure
from tests.support.deployment import Stack
from tests.support.nginx import Nginx
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Postgres, Service, need

MOST_SECONDS = 2  # that the honest client waits; half the deadline of an answer
ANSWERED = {"64 with Expect and 17 MB to come", "50 reused ports"}  # the others may be cut off, by a proxy at once
PRODUCTION = {
    "DEBUG": "0",
    "SECRET_KEY": "a-key-of-more-than-fifty-characters-which-nobody-guesses-0123456789",
    "ALLOWED_HOSTS": "*",
}
EXPECTED = {  # the statuses that the attackers may get; a connection may also be cut (0)
    "200 half-sent bodies": {408},
    "64 with Expect and no body": {408},
    "64 with Expect and 17 MB to come": {413},
    "4 multipart bodies of 17 MB": {413},
    "8 chunked bodies of 20 MB": {400, 411},
    "50 reused ports": {201},
}


@pytest.fixture(scope="module")
def web() -> Iterator[Stack]:
    """The web process on PostgreSQL, without Redis and Kafka."""
    with need(Postgres) as postgres:
        database = postgres.create_database("attacked")
        with Stack(database_url=database, redis_url=f"redis://{CLOSED}/0", kafka_broker=CLOSED, **PRODUCTION) as stack:
            stack.manage("migrate")
            need(stack.web.start)
            stack.web.wait_for_workers()
            yield stack


@pytest.fixture(scope="module")
def headers(web: Stack) -> str:
    """Of an honest client, as a proxy with TLS passes them on."""
    key = web.manage("create_api_key", "honest", "--scope", "actions:write").stdout.strip()
    return f"Authorization: Api-Key {key}\r\nX-Forwarded-Proto: https\r\n"


@pytest.fixture(scope="module")
def proxy(web: Stack) -> Iterator[Nginx]:
    with need(lambda: Nginx(web.web.address, tls=True)) as nginx:
        yield nginx


def attack(target: Service, web: Stack, headers: str, name: str, attack: Attack, record: Recorder) -> None:
    host, _, port = target.address.partition(":")
    found, honest = asyncio.run(_attacked(Address(host, int(port), headers), attack))
    memory = max(resident_mb(web.web.pids()[1:]))
    notes = f"attackers got {dict(found)}; {honest}; worker {memory:.0f} MB"
    print(f"{name}: {notes}")
    record(PROPERTY, figure(f"37 {name}", None, None, notes))
    assert set(honest.statuses) == {201}, notes
    assert max(honest.seconds) < MOST_SECONDS, notes
    assert set(found) - {0} <= EXPECTED.get(attack.name, set()), notes
    if attack.name in ANSWERED:
        assert found[0] == 0, notes


async def _attacked(address: Address, attack: Attack) -> tuple[Counter[int], Honest]:
    async with honest_client(address) as honest:
        await asyncio.sleep(0.2)
        return await attack.run(address), honest


@pytest.mark.stack
@pytest.mark.xdist_group("hostile clients")
@pytest.mark.parametrize("kind", ATTACKS[:6], ids=lambda kind: kind.name)
def test_a_hostile_client_delays_no_other(web: Stack, headers: str, kind: Attack, record_property: Recorder) -> None:
    attack(web.web, web, headers, kind.name, kind, record_property)


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.parametrize("kind", ATTACKS[6:], ids=lambda kind: kind.name)
def test_thousands_of_connections_delay_no_other(
    web: Stack, headers: str, kind: Attack, record_property: Recorder
) -> None:
    attack(web.web, web, headers, kind.name, kind, record_property)


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.parametrize("kind", ATTACKS, ids=lambda kind: kind.name)
def test_the_same_through_nginx(
    web: Stack, proxy: Nginx, headers: str, kind: Attack, record_property: Recorder
) -> None:
    attack(proxy, web, headers, f"{kind.name}, through nginx", kind, record_property)
