"""Checks that every acknowledged event is a row and a message."""

import psycopg

from tests.benchmarks.load import CONNECTIONS, READ, Kind, Load
from tests.benchmarks.messages import count_messages


class Work:
    """The events that a system has acknowledged, to be compared with its rows and messages."""

    def __init__(self, system: str, database_url: str, topic: str) -> None:
        self._system, self._url, self._topic = system, database_url, topic
        self._least = 0  # events answered
        self._most = 0  # and those in progress when wrk disconnected
        self._rows_before = self._rows()

    def add(self, kind: Kind, load: Load) -> None:
        """Count the events of a load."""
        if kind != READ:
            self._least += load.requests * kind.events
            self._most += (load.requests + CONNECTIONS) * kind.events

    def check(self, broker: str) -> dict[str, int]:
        """The numbers of events, rows and messages; RuntimeError when they contradict each other."""
        rows = self._rows() - self._rows_before
        messages = count_messages(broker, self._topic, rows)
        if not self._least <= rows <= self._most or messages != rows:
            raise RuntimeError(f"{self._system}: {self._least} answered, {rows} rows, {messages} messages")
        return {"answered": self._least, "rows": rows, "messages": messages}

    def _rows(self) -> int:
        with psycopg.connect(self._url) as connection:
            return connection.execute("SELECT count(*) FROM user_actions").fetchone()[0]  # type: ignore[index]
