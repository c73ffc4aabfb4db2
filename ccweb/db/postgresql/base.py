"""Django's PostgreSQL, for which no request of the web server waits longer than its deadline.

In a request, connecting asks first whether anybody answers, because libpq waits two seconds at least for a server that
was frozen; and the session gets timeouts, which the batch, imports and migrations must not have.
"""

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from ccweb.db.postgresql import silence
from ccweb.request import deadline

TIMEOUTS = {"lock_timeout": "2s", "statement_timeout": "3500ms", "idle_in_transaction_session_timeout": "10s"}
SET_TIMEOUTS = f"SELECT {', '.join(f'set_config({name!r}, {value!r}, false)' for name, value in TIMEOUTS.items())}"


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that fails in time."""

    def get_new_connection(self, conn_params: Any) -> Any:
        """A connection; OperationalError at once where the server is known not to answer, or the time is up."""
        if deadline.current():
            self._give_up_early()
        return super().get_new_connection(conn_params)

    def init_connection_state(self) -> None:
        """As Django does, and the timeouts."""
        super().init_connection_state()
        if deadline.current():
            self.connection.execute(SET_TIMEOUTS)

    def is_usable(self) -> bool:
        """Whether the server still holds the connection, asked of the socket and not by a query before each request.

        A server that ended the session has said so, or closed: then there is something to read where nothing should be.
        """
        if self.connection is None or self.connection.closed:
            return False
        socket = select.poll()  # not select(), which knows no descriptor above 1023
        socket.register(self.connection.fileno(), select.POLLIN)
        return not socket.poll(0) or super().is_usable()

    def _give_up_early(self) -> None:
        left = deadline.time_left()
        if left <= 0:
            raise psycopg.OperationalError("the request's time is up")
        if silence.known():
            raise psycopg.OperationalError("PostgreSQL does not answer; it is asked again several times a second")
        if not silence.answers(min(left, silence.PROBE_TIMEOUT_SECONDS)):
            raise psycopg.OperationalError("PostgreSQL does not answer")
