"""Generates sixty days of actions in PostgreSQL; actions per user follow Zipf's law.

10M actions are of 500,000 users. A smaller table has proportionally fewer users, so each has about as many actions.
"""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from tests.support.os_processes import wait_for

DAYS, ACTIONS_OF_A_USER = 60, 20
# The sixty days end at the time of an RFM run; later days are added one by one.
END = datetime.now(UTC).replace(hour=2, minute=0, second=0, microsecond=0) - timedelta(days=10)
# user_id is distributed as 1/rank: the inverse of its cumulative distribution, applied to a uniform number.
GENERATED = """SELECT gen_random_uuid() AS event_id, floor(%(users)s ^ random())::bigint AS user_id,
    'purchase' AS action_type, round((random() ^ 3 * 50)::numeric, 2) AS value,
    %(begin)s::timestamptz + n * (%(end)s::timestamptz - %(begin)s::timestamptz) / %(rows)s AS action_timestamp
    FROM generate_series(1, %(rows)s) AS n"""
COLUMNS = "event_id, user_id, action_type, value, action_timestamp"
INSERT = f"INSERT INTO user_actions ({COLUMNS}, received_at) SELECT {COLUMNS}, action_timestamp FROM ({GENERATED}) AS g"
VACUUMING = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"


def fill(url: str, rows: int) -> None:
    """Insert sixty days up to END into an empty database, and vacuum it."""
    _insert(url, rows, rows // ACTIONS_OF_A_USER, END - timedelta(days=DAYS), END)
    vacuum(url)


def add_day(url: str, day: int, actions: int) -> datetime:
    """Insert the actions of the day-th day after sixty days of `actions`, in order; returns the end of that day."""
    begin = END + timedelta(days=day - 1)
    _insert(url, actions // DAYS, actions // ACTIONS_OF_A_USER, begin, begin + timedelta(days=1))
    return begin + timedelta(days=1)


def vacuum(url: str) -> None:
    """Vacuum and analyze now, as autovacuum would do later."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("VACUUM (ANALYZE) user_actions")


def quiet(url: str) -> None:
    """Wait until autovacuum has ended: it would use a core during a measurement."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        wait_for(lambda: not connection.execute(VACUUMING).fetchall(), "autovacuum to end", seconds=300)


def write_csv(url: str, rows: int, file: Path) -> None:
    """Write the same sixty days to a CSV file with a header line."""
    values = {"begin": END - timedelta(days=DAYS), "end": END, "rows": rows, "users": rows // ACTIONS_OF_A_USER}
    with closing(psycopg.connect(url)) as connection, file.open("wb") as out:
        cursor = psycopg.ClientCursor(connection)
        with cursor.copy(cursor.mogrify(f"COPY ({GENERATED}) TO STDOUT (FORMAT csv, HEADER)", values)) as copy:
            for block in copy:
                out.write(block)


def _insert(url: str, rows: int, users: int, begin: datetime, end: datetime) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(INSERT, {"begin": begin, "end": end, "rows": rows, "users": users})
