"""The transition matrix of groups between two moments."""

from collections import Counter
from datetime import datetime

from django.db import connection

from segments.models import RfmPolicy, RfmRun
from segments.rfm.counted import adapted

# Only users in runs that ended in between have moved; runs are indexed by their end.
MOVED = """
WITH moved AS (
    SELECT user_id, MIN(id) AS first, MAX(id) AS last FROM segment_changes
    WHERE run_id IN (SELECT id FROM rfm_runs WHERE finished_at > %(start)s AND finished_at <= %(end)s)
    GROUP BY user_id
)
SELECT COALESCE(NULLIF(was.from_group, ''), %(lapsed)s), became.to_group, COUNT(*)
FROM moved JOIN segment_changes was ON was.id = first JOIN segment_changes became ON became.id = last
GROUP BY 1, 2"""


def transition_matrix(start: datetime, end: datetime) -> Counter[tuple[str, str]]:
    """How many users were in which group at two moments (UTC): {(group at start, group at end): users}.

    The counts sum to all users of the last run up to the later moment. Users without a row yet count in the group of
    lapsed users.
    """
    if end < start:
        return Counter({(was, became): users for (became, was), users in transition_matrix(end, start).items()})
    last = RfmRun.objects.done().finished_by(end).first()
    matrix = Counter({(group, group): users for group, users in last.groups.items()} if last else {})
    for was, became, users in _moved(start, end):
        matrix[became, became] -= users
        matrix[was, became] += users
    return +matrix


def _moved(start: datetime, end: datetime) -> list[tuple[str, str, int]]:
    values = {"start": adapted(start), "end": adapted(end), "lapsed": RfmPolicy.objects.active().group_rules[-1].name}
    with connection.cursor() as cursor:
        cursor.execute(MOVED, values)
        return list(cursor.fetchall())
