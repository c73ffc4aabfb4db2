"""Backups of real PostgreSQL servers, restored: who refuses, and what brings the data back without the erased users."""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.deployment import ROOT, Stack
from tests.support.os_processes import run, wait_for
from tests.support.programs import postgresql_programs
from tests.support.pytest_plugin import CLOSED
from tests.support.servers import Postgres, create_database, need

pytestmark = [pytest.mark.stack, pytest.mark.long]
REFUSAL = "Erased users may have come back. Run manage.py replay_erasures --from-kafka"


class Primary(Postgres):
    """A server of its own, of which physical backups are made."""

    def __init__(self) -> None:
        super().__init__({"fsync": "off"})

    def backup(self, *options: str) -> "Backup":
        """A physical backup as a server that is not started yet."""
        return Backup(self, *options)

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()


class Backup(Primary):
    """A server on a copy of another's files."""

    def __init__(self, of: Primary, *options: str) -> None:
        super().__init__()
        shutil.rmtree(self._data)
        command = [str(self._bin / "pg_basebackup"), "-d", of.url, "-D", str(self._data), "-c", "fast", *options]
        run([*self._prefix(), *command], self._environment())


def messages(stack: Stack, *arguments: str) -> str:
    """What a command that fails says."""
    done = stack.manage(*arguments, check=False)
    assert done.returncode == 1, done
    return done.stderr


def act(stack: Stack, *user_ids: int) -> list[int]:
    """Post an action of each user; returns the statuses."""
    return [stack.call("POST", "/api/actions", {"user_id": u, "action_type": "x"}).status for u in user_ids]


def users(url: str) -> set[int]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT user_id FROM user_actions").fetchall()}


def servers(broker: str) -> dict[str, str]:
    return {"redis_url": os.environ["REDIS_URL"], "kafka_broker": broker}


def refuses_to_start(stack: Stack) -> None:
    with pytest.raises(RuntimeError, match="replay_erasures"):
        stack.web.start()


def documented_revocation() -> str:
    """The Python of the step in docs/operations.md."""
    [code] = re.findall(r'manage.py shell -c "\n(.*?)"\n', (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    return re.sub("^   ", "", code, flags=re.MULTILINE)


@pytest.fixture
def other_database(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    yield create_database(postgresql_server, f"restored_{uuid.uuid4().hex}")


def test_a_restored_dump_is_refused_until_erasures_are_replayed_and_then_completed_from_kafka(
    live_stack: Stack, other_database: str, tmp_path: Path
) -> None:
    programs, dump = postgresql_programs(), str(tmp_path / "dump")
    assert act(live_stack, 7, 8) == [201, 201]
    key = live_stack.manage("create_api_key", "shop", "--scope", "actions:read").stdout.strip()
    subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, live_stack.database_url], check=True)
    live_stack.manage("erase_user", "7")
    assert act(live_stack, 9, 7) == [201, 410]
    live_stack.messages(3)
    live_stack.messages(1, "erasures")
    live_stack.web.stop()

    subprocess.run([programs / "pg_restore", "--no-owner", "-d", other_database, dump], check=True)
    assert users(other_database) == {7, 8}
    with Stack(database_url=other_database, **servers(live_stack.kafka_broker)) as restored:
        restored.manage("migrate")
        for command in ("relay_actions", "run_scheduler"):
            assert REFUSAL in messages(restored, command, *(["--once"] if "relay" in command else []))
        refuses_to_start(restored)
        replayed = "replay_erasures: 1 receipts, 0 already known, 1 users found again and erased"
        assert restored.manage("replay_erasures", "--from-kafka").stdout.startswith(replayed)
        again = "replay_erasures: 1 receipts, 1 already known, 0 users found again and erased\n"
        assert restored.manage("replay_erasures", "--from-kafka").stdout == again
        imported = "import_actions: 3 messages read, 1 stored, 1 already there, 0 bad, 1 of erased users left out\n"
        assert restored.manage("import_actions", "--from-kafka").stdout == imported
        assert users(other_database) == {8, 9}
        restored.web.start()
        assert act(restored, 7, 8) == [410, 201]
        read = {"Authorization": f"Api-Key {key}"}
        assert restored.call("GET", "/api/actions", headers=read).status == 200
        restored.manage("shell", "-c", documented_revocation())
        wait_for(lambda: restored.call("GET", "/api/actions", headers=read).status == 401, "the key to be refused")


@pytest.fixture
def primary() -> Iterator[Primary]:
    with need(Primary) as server:
        yield server


@pytest.fixture
def deployment(primary: Primary, kafka_broker: str) -> Iterator[Stack]:
    """A deployment on the primary, with users 7 and 8, and everything delivered."""
    with Stack(database_url=primary.url, **servers(kafka_broker)) as stack:
        stack.manage("migrate")
        stack.web.start()
        assert act(stack, 7, 8) == [201, 201]
        stack.messages(2)
        yield stack


def test_an_older_physical_backup_is_found_out_by_the_relay_and_then_refused_by_all(
    primary: Primary, deployment: Stack
) -> None:
    older = primary.backup()
    deployment.manage("erase_user", "7")
    deployment.messages(1, "erasures")
    deployment.web.stop()
    primary.stop()
    with older, Stack(database_url=older.url, **servers(deployment.kafka_broker)) as restored:
        assert "it lacks 1 erasures whose receipts are in Kafka" in messages(restored, "relay_actions")
        assert REFUSAL in messages(restored, "run_scheduler")
        refuses_to_start(restored)
        assert "1 users found again" in restored.manage("replay_erasures", "--from-kafka").stdout
        assert restored.manage("relay_actions", "--once").returncode == 0
        restored.web.start()
        assert act(restored, 7, 8) == [410, 201]


def test_a_waived_replay_is_not_asked_for_again(primary: Primary, deployment: Stack) -> None:
    older = primary.backup()
    deployment.manage("erase_user", "7")
    deployment.messages(1, "erasures")
    deployment.web.stop()
    with older, Stack(database_url=older.url, RELAY_IN_WEB="0", **servers(deployment.kafka_broker)) as restored:
        assert REFUSAL in messages(restored, "relay_actions")
        restored.manage("replay_erasures", "--waive", "a copy to look at")
        restored.web.start()
        assert act(restored, 8) == [201]
        assert restored.manage("relay_actions", "--once").stdout.startswith("relay_actions: delivered ")
        assert older.execute("SELECT note FROM database_records ORDER BY id DESC LIMIT 1") == [("a copy to look at",)]


def test_a_failover_to_a_standby_stops_nothing_although_kafka_is_away(primary: Primary, deployment: Stack) -> None:
    with primary.backup("-R") as standby:
        deployment.manage("erase_user", "7")
        deployment.messages(1, "erasures")
        wait_for(lambda: users(standby.url) == {8}, "the standby to have the erasure")
        deployment.web.stop()
        primary.kill()
        standby.execute("SELECT pg_promote()")
        with Stack(database_url=standby.url, **servers(CLOSED)) as without_kafka:
            without_kafka.web.start()
            assert act(without_kafka, 8, 7) == [201, 410]
            without_kafka.web.stop()
        with Stack(database_url=standby.url, **servers(deployment.kafka_broker)) as after:
            assert after.manage("relay_actions", "--once").stdout.startswith("relay_actions: delivered 1")
