"""Django's PostgreSQL backend, on which no request of the web server waits longer than its deadline."""

import math
import select
from typing import Any

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg import errors

from ccweb.request import deadline

# The session's timeouts in a request; the batch, imports and migrations must not have them. Behind a pooler the session
# is not ours: deploy/pgbouncer.ini sets the same.
TIMEOUTS = {"lock_timeout": "2s", "statement_timeout": "3500ms", "idle_in_transaction_session_timeout": "10s"}
SET_TIMEOUTS = f"SELECT {', '.join(f'set_config({name!r}, {value!r}, false)' for name, value in TIMEOUTS.items())}"
CONNECT_SECONDS = 2  # the shortest that psycopg knows, so a connection may take longer than the deadline
LEAST_SECONDS = 0.25  # with less left, none is opened
OF_DJANGO = ("cursor_factory", "context")
TOO_LATE = "PostgreSQL did not answer before the request's deadline"


def psycopg_parameters() -> dict[str, Any]:
    """The parameters of psycopg's connect for Django's database, in a request or elsewhere, without Django's own."""
    parameters: dict[str, Any] = connections[DEFAULT_DB_ALIAS].get_connection_params()
    ours = {name: parameters[name] for name in parameters if name not in OF_DJANGO}
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


class ErrorWrapper(DatabaseErrorWrapper):
    """Django's, which also ends the use of a connection that turned out to be read-only: there was a failover."""

    wrapper: "DatabaseWrapper"

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, errors.ReadOnlySqlTransaction):
            self.wrapper.close_at = 0.0  # Django closes it after the request or step
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection: in a request to DATABASE_URL, limited by the deadline; elsewhere to DATABASE_DIRECT_URL."""

    def get_connection_params(self) -> dict[str, Any]:
        """The parameters of a connection that is opened here and now."""
        if not (settings.DATABASE_OF_REQUESTS and deadline.in_request()):
            return dict(super().get_connection_params())
        requests = base.DatabaseWrapper(self.settings_dict | settings.DATABASE_OF_REQUESTS, self.alias)
        return dict(requests.get_connection_params())

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
        if deadline.in_request() and not settings.DATABASE_POOLED:
            self.connection.execute(SET_TIMEOUTS)

    def chunked_cursor(self) -> Any:
        """A cursor of the server; of the client behind a pooler, where another session may get the next statement."""
        is_pooled = settings.DATABASE_POOLED and deadline.in_request()
        return self.cursor() if is_pooled and not self.in_atomic_block else super().chunked_cursor()

    def is_usable(self) -> bool:
        """Whether the connection is still open, checked on the socket instead of by a query before each request.

        A server that ended the session has sent a message or closed the socket, so there is something to read.
        """
        if self.connection is None or self.connection.closed:
            return False
        return not has_input(self.connection.fileno()) or super().is_usable()

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        """The context manager around each use of psycopg."""
        return ErrorWrapper(self)
