"""The whole system from the outside: the production web process on a real PostgreSQL, Redis and Apache Kafka."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import redis

from tests.support.deployment import Stack
from tests.support.servers import Kafka, need

pytestmark = pytest.mark.stack
USERS, ACTIONS = 20, 200


@pytest.fixture
def kafka() -> Iterator[Kafka]:
    """A broker for this test only, which stops it."""
    with need(Kafka) as broker:
        yield broker


@pytest.fixture
def stack(fresh_database: str, redis_client: redis.Redis, kafka: Kafka) -> Iterator[Stack]:
    servers = {"redis_url": os.environ["REDIS_URL"], "kafka_broker": kafka.address}
    with Stack(database_url=fresh_database, **servers) as running:
        running.web.start()
        yield running


def action(number: int) -> dict:
    """User 1 acts most, with the highest values; every user acts on three days."""
    user_id = number % USERS + 1
    at = datetime.now(UTC) - timedelta(days=number % 3, minutes=number)
    return {
        "user_id": user_id,
        "action_type": "purchase",
        "value": f"{30 - user_id}.50",
        "action_timestamp": at.isoformat(),
    }


def consume(stack: Stack, *arguments: str) -> list[dict]:
    """What manage.py consume_actions prints."""
    command = [sys.executable, "manage.py", "consume_actions", *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=root, env=stack.environment, capture_output=True, text=True, timeout=120, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_from_an_action_to_a_recommendation(stack: Stack, kafka: Kafka, redis_client: redis.Redis) -> None:
    sent = {}
    for number in range(ACTIONS):
        if number == ACTIONS // 2:
            kafka.stop()
        answer = stack.call("POST", "/api/actions", action(number))
        assert answer.status == 201
        # An action without an order has no order_id in its message.
        sent[answer.json()["event_id"]] = {k: v for k, v in answer.json().items() if v is not None}
    kafka.start()

    messages = stack.messages(at_least=ACTIONS)
    payloads = [json.loads(message.value()) for message in messages]
    assert {payload["event_id"]: payload for payload in payloads} == sent
    assert len(payloads) == ACTIONS, "a stopped and started broker makes no duplicates"
    assert all(
        message.key() == str(payload["user_id"]).encode() for message, payload in zip(messages, payloads, strict=True)
    )
    assert all(dict(m.headers())["event_id"].decode() == p["event_id"] for m, p in zip(messages, payloads, strict=True))
    of_seven = [payload["event_id"] for payload in payloads if payload["user_id"] == 7]
    assert of_seven == [event_id for event_id, body in sent.items() if body["user_id"] == 7], "in order for each user"
    printed = consume(stack, "--limit", str(ACTIONS))
    assert {line["event_id"] for line in printed} == set(sent)

    run = json.loads(stack.manage("compute_rfm", "--json").stdout)
    assert run["users"] == run["active"] == USERS
    segments = stack.call("GET", "/api/user-segments").json()["results"]
    assert Counter(s["rfm_group"] for s in segments) == +Counter(run["groups"]) == Counter({"Whale": USERS})
    assert {s["frequency"] for s in segments} == {ACTIONS // USERS}

    redis_client.set("user:7:streak_count", 12)
    body = stack.call("GET", "/api/user-segments/7/recommendation").json()
    assert body["rfm_group"] == "Whale"
    assert (body["risk_profile"], body["streak_count"]) == ("Unknown", 12)
    assert body["recommended_reward_probability"] == pytest.approx(
        0.10 + 0.12, abs=1e-9
    )  # no rule for (Whale, Unknown)
    assert body["recommended_time_window"] == "any time"
    stack.call("PATCH", "/api/user-segments/7", {"risk_profile": "High-Risk"})
    body = stack.call("GET", "/api/user-segments/7/recommendation").json()
    assert (body["recommended_reward_probability"], body["recommended_time_window"]) == (0.87, "next 2 hours")
    unknown = stack.call("GET", "/api/user-segments/424242/recommendation").json()
    assert (unknown["rfm_group"], unknown["risk_profile"], unknown["degraded"]) == ("Low", "Unknown", [])
    assert unknown["recommended_reward_probability"] == 0.25

    visit = stack.call("POST", "/api/notify/site_visit", {"user_id": 7, "source": "newsletter"})
    assert visit.status == 201
    with psycopg.connect(stack.database_url) as connection:
        row = connection.execute("SELECT user_id, source FROM site_visits").fetchall()
    assert row == [(7, "newsletter")]
