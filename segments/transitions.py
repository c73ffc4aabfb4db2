"""Who went from which group to which between two moments."""

from collections import Counter
from datetime import datetime

from django.db import connection

from segments.models import RfmPolicy
from segments.statement import adapted

# Few change in a week: everybody is counted where he stands, and those who changed are then put right.
STANDING = "SELECT rfm_group, COUNT(*) FROM user_segments GROUP BY rfm_group"
# What the first later change started from is the group at a moment; the runs that ended since have an index.
MOVED = """
WITH moved AS (
    SELECT user_id, MIN(CASE WHEN changed_at > %(start)s THEN id END) AS after_start,
        MIN(CASE WHEN changed_at > %(end)s THEN id END) AS after_end
    FROM segment_changes
    WHERE run_id IN (SELECT id FROM rfm_runs WHERE finished_at > %(earlier)s) AND changed_at > %(earlier)s
    GROUP BY user_id
), places AS MATERIALIZED (
    SELECT user_id, (SELECT from_group FROM segment_changes WHERE id = after_start) AS at_start,
        (SELECT from_group FROM segment_changes WHERE id = after_end) AS at_end
    FROM moved
)
SELECT COALESCE(NULLIF(COALESCE(at_start, rfm_group), ''), %(lapsed)s),
    COALESCE(NULLIF(COALESCE(at_end, rfm_group), ''), %(lapsed)s), rfm_group, COUNT(*)
FROM places JOIN user_segments USING (user_id) GROUP BY 1, 2, 3"""


def transition_matrix(start: datetime, end: datetime) -> Counter[tuple[str, str]]:
    """How many users were in which group at two moments (UTC): {(group at start, group at end): users}.

    The counts sum to all users with a row; who had none yet stood where the lapsed stand.
    """
    moments = {"start": start, "end": end, "earlier": min(start, end)}
    lapsed = RfmPolicy.objects.active().group_rules[-1].name
    with connection.cursor() as cursor:
        cursor.execute(STANDING)
        matrix = Counter({(group, group): users for group, users in cursor.fetchall()})
        cursor.execute(MOVED, {"lapsed": lapsed} | {name: adapted(at) for name, at in moments.items()})
        for was, became, now, users in cursor.fetchall():
            matrix[now, now] -= users
            matrix[was, became] += users
    return +matrix
