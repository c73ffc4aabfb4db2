"""The finished SQL of a run of policy revision 1, as the file beside this module shows it: one a database.

After a change of the SQL: `DATABASE_URL=... python -m tests.segments.rfm.statements` writes the file of that
database anew (without DATABASE_URL that of SQLite), so that the change is reviewed as SQL.
"""

import re
from pathlib import Path

import django


def statements() -> str:
    """Every statement of a run in its order, each under a heading; on PostgreSQL with two ranges of users."""
    from segments.models import RfmPolicy
    from segments.rfm import quantiles, sql
    from segments.rfm.counted import Counted, is_postgresql
    from segments.rules.first_revisions import RFM

    policy = RfmPolicy(**RFM)
    scoring, below = policy.scoring(), policy.shares_below
    goes_on = sql.Reading(goes_on=True)
    ranges = ["user_id < 1000", "user_id >= 1000"] if is_postgresql() else [sql.ALL_USERS]
    parts = {
        "The cut points of a quantile policy": quantiles.statement(Counted(scoring.counting), below),
        "How many users are in which group now": sql.CURRENT_COUNTS,
        "The rows that differ: a run that reads all actions": sql.difference(scoring, sql.EVERYTHING, ranges),
        "Later runs: users of actions that arrived late": sql.LATE,
        "The rows that differ: later runs": sql.difference(scoring, goes_on, ranges),
        "Without those of late users": sql.WITHOUT_LATE,
        "The rows of late users": sql.again(scoring),
        "How many users move from where to where": sql.MOVES,
        "The changes of group": sql.CHANGES,
        "New rows": sql.insert(),
        "New rows, when one of them exists by now": sql.upsert(),
        "Changed rows": sql.update(),
        "Rows of users who act later than as_of": sql.REMOVE,
    }
    text = "\n\n".join(f"-- {title}\n{statement.strip()};" for title, statement in parts.items())
    return re.sub(" +\n", "\n", text) + "\n"


def file() -> Path:
    """The file of the database that Django runs on."""
    from django.db import connection

    return Path(__file__).with_name(f"{connection.vendor}.sql")


if __name__ == "__main__":
    django.setup()
    file().write_text(statements())
    print(f"wrote {file().name}")
