"""Rows 27 and 28 of docs/promises.md: Redis killed, frozen, slow, full, emptied, restarted with old data."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY
from pytest_django import Settings

from ccweb.redis.circuit_breaker import REDIS, DependencyUnavailable
from segments import streaks
from segments.streaks import repair_thread, store
from segments.streaks.update import PENDING_REPAIRS
from tests.faults.slow_proxy import SlowProxy
from tests.segments.acting import act, kept, naive
from tests.support.api_client import get, post
from tests.support.deployment import Stack
from tests.support.os_processes import wait_for
from tests.support.servers import LONG_TIMEOUTS, Redis

pytestmark = pytest.mark.django_db(transaction=True)
DAYS = {1: (0,), 2: (1, 2, 3), 3: (0, 1), 4: (2, 3), 5: (0, 2), 6: (0, 1, 2, 3, 4)}
STREAKS = {user: naive(days) for user, days in DAYS.items()}


def use(settings: Settings, url: str) -> None:
    settings.REDIS_URL = url
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": url}}


@pytest.fixture
def server(redis_server: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Redis:
    """The Redis of a single test, complete, with the streaks of DAYS; the breaker pauses one second, not five."""
    monkeypatch.setattr(REDIS, "pause", 1.0)
    use(settings, f"{redis_server.url}/0{LONG_TIMEOUTS}")
    repair_thread.step()
    post("actions", [action for user, days in DAYS.items() for action in act(user, *days)])
    assert {user: kept(client(redis_server), user) for user in DAYS} == STREAKS
    return redis_server


def client(server: Redis) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def streak_of(user_id: int) -> tuple[int, list[str]]:
    response = get(f"user-segments/{user_id}/recommendation")
    assert response.status_code == 200, response.content
    return response.json()["streak_count"], response.json()["degraded"]


def streaks_by_api() -> dict[int, int]:
    """The streak of every user; asserts that no response is degraded."""
    found = {user: streak_of(user) for user in DAYS}
    assert all(degraded == [] for _, degraded in found.values()), found
    return {user: days for user, (days, _) in found.items()}


def repaired() -> bool:
    """Run one step of the repair thread; whether it has repaired everything."""
    try:
        repair_thread.step()
    except (DependencyUnavailable, streaks.CommandRefused):
        return False
    return not PENDING_REPAIRS


def errors() -> float:
    return REGISTRY.get_sample_value("ccweb_dependency_errors_total", {"dependency": "redis"}) or 0.0


def milliseconds(call: Callable[[], Any], times: int) -> list[float]:
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        spent.append((time.perf_counter() - began) * 1000)
    return sorted(spent)


def print_figures(fault: str, healthy: list[float], during: list[float], tried: float) -> None:
    """Print the figures of the fault."""
    print(
        f"Redis {fault}: {len(during)} requests, {tried:.0f} failed calls; median {during[len(during) // 2]:.1f} ms "
        f"(healthy {healthy[len(healthy) // 2]:.1f}), slowest {during[-3]:.0f}, {during[-2]:.0f}, {during[-1]:.0f} ms"
    )


def send_requests(fault: str) -> None:
    """Send requests during a fault: all succeed, and few call Redis. Every user acts on one more day."""
    healthy = milliseconds(lambda: get("user-segments/1"), 20)  # without Redis
    REDIS.reset()  # on a busy machine a timeout may have opened it before
    before, began = errors(), time.monotonic()
    during = milliseconds(lambda: streak_of(1), 60)
    assert streak_of(1) == (0, ["streak"])
    for user in DAYS:
        assert post("actions", act(user, 0)).status_code == 201
    tried, spent = errors() - before, time.monotonic() - began
    # A timeout opens the breaker at once, other errors after three; then one probe in each pause.
    assert 1 <= tried <= 3 + spent / REDIS.pause + 2
    print_figures(fault, healthy, during, tried)


def check_recovery() -> None:
    """The repair thread repairs the streaks after the next probe of the breaker."""
    wait_for(repaired, "the repair thread to repair the streaks")
    assert streaks_by_api() == {user: naive({0, *days}) for user, days in DAYS.items()}


def test_killed(server: Redis) -> None:
    server.kill()
    send_requests("killed")
    server.start()
    check_recovery()


def test_frozen(server: Redis, settings: Settings) -> None:
    use(settings, f"{server.url}/0")
    server.freeze()
    send_requests("frozen")
    server.thaw()
    use(settings, f"{server.url}/0{LONG_TIMEOUTS}")
    check_recovery()


def test_slow(server: Redis, settings: Settings) -> None:
    with SlowProxy("127.0.0.1", server.port, 0.3) as proxy:
        use(settings, f"redis://127.0.0.1:{proxy.port}/0")
        send_requests("slow by 300 ms")
        proxy.delay = 0
        use(settings, f"redis://127.0.0.1:{proxy.port}/0{LONG_TIMEOUTS}")
        check_recovery()


def test_full(server: Redis) -> None:
    client(server).config_set("maxmemory", 1)
    for user in DAYS:
        assert post("actions", act(user, 0)).status_code == 201
    assert set(streaks_by_api()) == set(DAYS)  # reads still succeed
    client(server).config_set("maxmemory", 0)
    REDIS.reset()
    check_recovery()


def test_emptied(server: Redis) -> None:
    client(server).flushall()
    assert streaks_by_api() == STREAKS
    assert not store.is_complete()
    client(server).flushall()
    post("actions", act(2, 0))
    assert kept(client(server), 2) == naive({0, *DAYS[2]})
    client(server).flushall()
    repair_thread.step()
    assert store.is_complete()
    assert {user: kept(client(server), user) for user in DAYS} == STREAKS | {2: naive({0, *DAYS[2]})}


def test_emptied_while_other_systems_write(server: Redis) -> None:
    client(server).flushall()
    client(server).set("user:4:streak_count", 40)
    assert streaks_by_api() == STREAKS | {4: 40}
    repair_thread.step()
    assert streaks_by_api() == STREAKS | {4: 40}


def test_restarted_from_an_older_snapshot(redis_server: Redis, settings: Settings) -> None:
    redis_server.settings["appendonly"] = "no"
    redis_server.stop()
    redis_server.start()
    use(settings, f"{redis_server.url}/0{LONG_TIMEOUTS}")
    repair_thread.step()
    post("actions", [action for user, days in DAYS.items() for action in act(user, *days[1:])])
    client(redis_server).save()
    post("actions", [action for user, days in DAYS.items() for action in act(user, days[0])])
    redis_server.kill()
    redis_server.start()
    assert client(redis_server).get(store.COMPLETE)  # the mark of the earlier server
    older = {user: kept(client(redis_server), user) for user in DAYS}
    assert older != STREAKS
    assert streaks_by_api() == STREAKS
    repair_thread.step()
    assert store.is_complete()
    assert {user: kept(client(redis_server), user) for user in DAYS} == STREAKS


def test_actions_that_a_killed_worker_did_not_count_are_counted_by_its_successor(server: Redis) -> None:
    client(server).delete(*store.keys(1))
    client(server).set("user:2:streak_count", 1)
    assert store.is_complete()
    repair_thread.look_back()
    repair_thread.step()
    assert {user: kept(client(server), user) for user in DAYS} == STREAKS


@pytest.fixture
def live(redis_server: Redis, fresh_database: str) -> Iterator[Stack]:
    with Stack(database_url=fresh_database, redis_url=f"{redis_server.url}/0", kafka_broker="127.0.0.1:9") as stack:
        stack.web.start()
        yield stack


@pytest.mark.stack
@pytest.mark.long
def test_the_deployed_system_recovers(live: Stack, redis_server: Redis) -> None:
    """Two clients post and read while Redis is frozen, killed and started empty; no command is run to repair it."""
    direct = client(redis_server)
    wait_for(lambda: bool(direct.exists(store.COMPLETE)), "the repair thread to mark the streaks complete")
    days: dict[int, set[int]] = {user: set() for user in range(1, 41)}
    answers: list[tuple[int, float, bool]] = []
    end = threading.Event()

    def traffic(seed: int) -> None:
        for number in range(seed, 100_000, 2):
            if end.is_set():
                return
            user, day = number % 40 + 1, number // 40 % 4
            began = time.perf_counter()
            posted = live.call("POST", "/api/actions", act(user, day)[0])
            read = live.call("GET", f"/api/user-segments/{user}/recommendation")
            days[user].add(day)
            spent = (time.perf_counter() - began) * 500
            answers.append((max(posted.status, read.status + 1), spent, bool(read.json()["degraded"])))

    clients = [threading.Thread(target=traffic, args=[seed]) for seed in (0, 1)]
    for thread in clients:
        thread.start()
    time.sleep(3)
    redis_server.freeze()
    time.sleep(3)
    redis_server.thaw()
    time.sleep(7)
    redis_server.kill()
    (redis_server.folder / "appendonlydir").rename(redis_server.folder / "lost")
    time.sleep(3)
    redis_server.start()
    time.sleep(7)
    end.set()
    for thread in clients:
        thread.join()
    assert {status for status, _, _ in answers} == {201}
    expected = {user: naive(done) for user, done in days.items()}

    def recovered() -> bool:
        return {user: kept(direct, user) for user in days} == expected and bool(direct.exists(store.COMPLETE))

    wait_for(recovered, "every streak to be right in Redis")
    spent = sorted(spent for _, spent, _ in answers)
    share = 100 * sum(degraded for _, _, degraded in answers) / len(answers)
    print(
        f"deployed: {len(answers)} pairs of requests, {share:.0f} % degraded, median {spent[len(spent) // 2]:.1f} ms, "
        f"p99 {spent[-len(spent) // 100]:.0f} ms, slowest {spent[-1]:.0f} ms a request"
    )
