"""Django's PostgreSQL backend, on which no request of the web server waits longer than its deadline.

In a request the server is probed before connecting, because libpq waits at least two seconds for a server that is
suspended; and the session gets timeouts, which the batch, imports and migrations must not have.
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
    """Django's connection, limited by the deadline of the request."""

    def get_new_connection(self, conn_params: Any) -> Any:
        """Connect; raises OperationalError immediately when the server does not answer or the deadline has passed."""
        if deadline.current():
            self._check_server()
        return super().get_new_connection(conn_params)

    def init_connection_state(self) -> None:
        """Set the timeouts as well."""
        super().init_connection_state()
        if deadline.current():
            self.connection.execute(SET_TIMEOUTS)

    def is_usable(self) -> bool:
        """Whether the connection is still open, checked on the socket instead of by a query before each request.

        A server that ended the session has sent a message or closed the socket, so there is something to read.
        """
        if self.connection is None or self.connection.closed:
            return False
        socket = select.poll()  # not select(), which does not support descriptors above 1023
        socket.register(self.connection.fileno(), select.POLLIN)
        return not socket.poll(0) or super().is_usable()

    def _check_server(self) -> None:
        left = deadline.time_left()
        if left <= 0:
            raise psycopg.OperationalError("the request's deadline has passed")
        if silence.is_silent():
            raise psycopg.OperationalError("PostgreSQL does not answer; it is probed several times a second")
        if not silence.answers(min(left, silence.PROBE_TIMEOUT_SECONDS)):
            raise psycopg.OperationalError("PostgreSQL does not answer")
