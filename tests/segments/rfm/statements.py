"""The finished SQL of a run of policy revision 1, as the file beside this module shows it: one a database.

After a change of the SQL: `DATABASE_URL=... python -m tests.segments.rfm.statements` writes the file of that
database anew (without DATABASE_URL that of SQLite), so that the change is reviewed as SQL.
"""

import re
from pathlib import Path

import django


def statements() -> str:
    """Every statement of a run in its order, each under a heading; on PostgreSQL with two ranges of users."""
    from segments.rfm import quantiles, sql
    from segments.rules.first_revisions import RFM
    from segments.rules.scoring import Rule

    rules = [Rule(**rule) for rule in RFM["rules"]]
    ranges = ["user_id < 1000", "user_id >= 1000"] if sql.is_postgresql() else [sql.ALL_USERS]
    parts = {
        "The cut points of a quantile policy": quantiles._statement(),
        "How many users are in which group now": sql.CURRENT_COUNTS,
        "The rows that differ: a run that reads all actions": sql.difference(rules, all_users=True, ranges=ranges),
        "The rows that differ: later runs": sql.difference(rules, all_users=False, ranges=ranges),
        "Users first seen outside the window": sql.FIRST_SEEN,
        "How many users move from where to where": sql.MOVES,
        "The changes of group": sql.CHANGES,
        "New rows": sql.insert(),
        "New rows, when one of them exists by now": sql.upsert(),
        "Changed rows": sql.update(),
        "The end": sql.DROP,
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
