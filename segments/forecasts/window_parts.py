"""One user's actions, however many, as few parts: those between two neighbouring edges of the coming windows.

One grouped query reads them, so that an outlook needs no list of actions.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from django.db import connection

from segments.rfm.counted import Counted, adapted, both, filtered, is_postgresql
from segments.rules.counting import Counting

MICROSECOND = timedelta(microseconds=1)
EARLIEST = datetime.min.replace(tzinfo=UTC)
# A range of the index for each part. PostgreSQL takes four times as long for the join with its GROUP BY, and with a
# plan for any user a hundred times as long; SQLite has no LATERAL.
PARTS = "WITH parts (begins, ends) AS (VALUES {edges}) SELECT begins, {figures}"
IN_PART = "user_id = %(user_id)s AND action_timestamp >= begins AND action_timestamp < ends"
LATERAL = f"""part.* FROM parts CROSS JOIN LATERAL (
    SELECT {{last}}, {{actions}} AS actions, {{total}} AS total FROM user_actions WHERE {IN_PART} AND {{where}}
) AS part WHERE actions > 0 OR total <> 0"""
JOINED = f"""{{last}}, {{actions}}, {{total}} FROM parts JOIN {{source}} ON {IN_PART} WHERE {{where}} GROUP BY begins"""
# An order is in every window that holds its last line: as one action, it is counted there.
LINES = """(
    SELECT *, ROW_NUMBER() OVER (PARTITION BY order_id, {activity} ORDER BY action_timestamp DESC, id DESC) AS line
    FROM user_actions WHERE user_id = %(user_id)s AND action_timestamp >= %(edge0)s) AS lines"""
IS_LAST_LINE = "(order_id IS NULL OR line = 1)"


class Part(NamedTuple):
    """Actions from an instant (UTC) on: their last activity, their number and value."""

    begin: datetime
    last: datetime | None
    frequency: int
    total: Decimal


def window_parts(
    user_id: int, counting: Counting, instants: Sequence[datetime], *, whole_history: bool = False
) -> list[Part]:
    """The parts of a user's actions, of which the windows as of all these instants (UTC) consist.

    With `whole_history` also of what lies before all windows.
    """
    instants_of_edges = {as_of + MICROSECOND for as_of in instants} | {as_of - counting.window for as_of in instants}
    ordered = sorted(instants_of_edges | ({EARLIEST} if whole_history else set()))
    counted, source = Counted(counting), "user_actions"
    actions, form = counted.actions(), LATERAL if is_postgresql() else JOINED
    if counting.orders:
        source, form = LINES.format(activity=counted.activity), JOINED
        actions = filtered("COUNT(*)", both(counted.activity, IS_LAST_LINE))
    values: dict[str, Any] = {f"edge{n}": adapted(edge) for n, edge in enumerate(ordered)}
    figures = form.format(
        last=counted.last(), actions=actions, total=counted.total(), where=counted.where, source=source
    )
    edges = ", ".join(f"(%(edge{n})s, %(edge{n + 1})s)" for n, _ in enumerate(pairwise(ordered)))
    text = PARTS.format(edges=edges, figures=figures)
    with connection.cursor() as cursor:
        cursor.execute(text, values | {"user_id": user_id} | counted.parameters)
        return [
            Part(_instant(begin), _instant(last), count, Decimal(total).scaleb(-2))
            for begin, last, count, total in cursor.fetchall()
        ]


def _instant(value: Any) -> Any:
    """SQLite has no type of instants."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
