"""Django's PostgreSQL backend, on which no request of the web server waits longer than its deadline."""

import math
import select
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql import base
from psycopg import errors

from ccweb.request import deadline

# The session's timeouts in a web process; the batch, imports and migrations must not have them.
TIMEOUTS = {"lock_timeout": "2s", "statement_timeout": "3500ms", "idle_in_transaction_session_timeout": "10s"}
SET_TIMEOUTS = f"SELECT {', '.join(f'set_config({name!r}, {value!r}, false)' for name, value in TIMEOUTS.items())}"
CONNECT_SECONDS = 2  # the shortest that psycopg knows, so a connection may take longer than the deadline
LEAST_SECONDS = 0.25  # with less left, none is opened
OF_CURSORS = ("cursor_factory", "context", "prepare_threshold")
TOO_LATE = "PostgreSQL did not answer before the request's deadline"


def direct_parameters() -> dict[str, Any]:
    """The parameters of psycopg's connect for Django's database, without those of Django's own cursors."""
    parameters: dict[str, Any] = connections[DEFAULT_DB_ALIAS].get_connection_params()
    ours = {name: parameters[name] for name in parameters if name not in OF_CURSORS}
    return ours | {"connect_timeout": CONNECT_SECONDS}


def has_input(descriptor: int) -> bool:
    """Whether there is something to read on a connection; an idle one has nothing unless the server has ended it."""
    socket = select.poll()  # not select(), which does not support descriptors above 1023
    socket.register(descriptor, select.POLLIN)
    return bool(socket.poll(0))


class DeadlineConnection(psycopg.Connection[Any]):
    """psycopg's connection, which is closed when PostgreSQL has not answered by the request's deadline.

    The timeouts of the server and of TCP end no query on a server that is suspended: its kernel still acknowledges.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Raises OperationalError at the deadline."""
        left = deadline.time_left()
        if left == math.inf or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, max(left, 0))
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(TOO_LATE) from None


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection, limited by the deadline of the request."""

    def get_new_connection(self, conn_params: Any) -> Any:
        """Connect, in a request within CONNECT_SECONDS; raises OperationalError when the deadline has passed."""
        if not deadline.in_request():
            return super().get_new_connection(conn_params)
        if deadline.time_left() < LEAST_SECONDS:
            raise psycopg.OperationalError(TOO_LATE)
        connection = super().get_new_connection(conn_params | {"connect_timeout": CONNECT_SECONDS})
        connection.__class__ = DeadlineConnection  # Django has no option for the class of its connections
        return connection

    def init_connection_state(self) -> None:
        """Set the timeouts as well."""
        super().init_connection_state()
        if deadline.in_request():
            self.connection.execute(SET_TIMEOUTS)

    def is_usable(self) -> bool:
        """Whether the connection is still open, checked on the socket instead of by a query before each request.

        A server that ended the session has sent a message or closed the socket, so there is something to read.
        """
        if self.connection is None or self.connection.closed:
            return False
        return not has_input(self.connection.fileno()) or super().is_usable()
