"""The database backend of production; Django finds it as the ENGINE ccweb.postgresql."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """Asks the socket, not the server, whether a connection survived since the last request.

    Django's own check is a SELECT 1 before each request: a round trip that costs more than half as much as the insert.
    A server that ends a session closes the socket, and then something can be read from it; one that is frozen would
    not answer the SELECT either.
    """

    def is_usable(self) -> bool:
        """Whether the next statement may be sent; after an error, or when the server said something, by asking it."""
        connection = self.connection
        if connection is None or connection.closed or self.errors_occurred or _has_news(connection.fileno()):
            return super().is_usable()
        return True


def _has_news(socket: int) -> bool:
    poll = select.poll()
    poll.register(socket, select.POLLIN)  # hang-ups and errors are always reported
    return bool(poll.poll(0))
