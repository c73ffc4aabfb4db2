"""Our commands as processes of their own, on a database of their own."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from functools import cached_property
from pathlib import Path
from typing import Self

import psycopg

from tests.plugin import shared

ROOT = Path(__file__).parent.parent
COUNT_WAITING = "SELECT count(*) FROM outbox WHERE quarantined_at IS NULL"
RECORD = """
import json, sys
from actions.recording import record_actions
for line in sys.stdin:
    verdicts = record_actions(actions=[{"user_id": user, "action_type": "login"} for user in json.loads(line)])
    print(json.dumps([str(verdict.event["event_id"]) for verdict in verdicts]), flush=True)
"""


class Running(subprocess.Popen[str]):
    """A process of ours, ended with us by the kernel."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
        super().__init__(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.kill()
        self.wait()

    def line(self) -> str:
        """The next line of its stdout, waited for."""
        assert self.stdout is not None
        return self.stdout.readline()

    def tell(self, text: str) -> None:
        """One line into its stdin."""
        assert self.stdin is not None
        self.stdin.write(f"{text}\n")
        self.stdin.flush()

    def end(self, signum: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
        """Sends the signal and returns what `finished` does."""
        self.send_signal(signum)
        return self.finished(30)

    def finished(self, seconds: float = 60) -> tuple[str, str]:
        """Waits for the end, which has to be 0; returns what is left in stdout and stderr."""
        assert self.stdout is not None
        assert self.stderr is not None
        status = self.wait(seconds)
        out, err = self.stdout.read(), self.stderr.read()
        assert status == 0, out + err
        return out, err


class Deployment:
    """A database and a broker, and our processes on them."""

    def __init__(self, *, database_url: str, broker: str) -> None:
        self.database_url, self.broker = database_url, broker
        self.environment = os.environ | {"DATABASE_URL": database_url, "KAFKA_BROKER": broker, "PYTHONUNBUFFERED": "1"}

    def start(self, *arguments: str) -> Running:
        """Starts a command and leaves it running."""
        return Running([sys.executable, "manage.py", *arguments], self.environment)

    def manage(self, *arguments: str) -> tuple[str, str]:
        """Runs a command to its successful end; returns its stdout and stderr."""
        with self.start(*arguments) as command:
            return command.finished()

    def record(self, *user_ids: int) -> list[str]:
        """Records an action for each through the write door; returns their event ids."""
        self._recorder.tell(json.dumps(user_ids))
        return json.loads(self._recorder.line())

    def waiting(self) -> int:
        """How many messages wait in the outbox."""
        kind, _, path = self.database_url.partition("://")
        connect = psycopg.connect if kind == "postgres" else sqlite3.connect
        with contextlib.closing(connect(self.database_url if kind == "postgres" else path)) as connection:
            return int(connection.execute(COUNT_WAITING).fetchone()[0])

    @cached_property
    def _recorder(self) -> Running:
        return self.start("shell", "-v0", "-c", RECORD)


def new_database(kind: str, folder: Path) -> str:
    """The URL of an empty database: a SQLite file in the folder, or one of this run's PostgreSQL."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/db.sqlite3"
    server, name = f"postgres://postgres@{shared('postgresql')}", f"deployment_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"
