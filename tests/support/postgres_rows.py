"""Fills a PostgreSQL database as after months of use: by SQL, so that millions of rows take a minute."""

from collections.abc import Callable

from django.db import connection

from segments.rfm.runs import compute_rfm_and_update_segments

DAYS, RUNS = 60, 60

# Few users are very active, most are not; a quarter of the ids has no action within the 30 days.
ACTIONS = """
INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
SELECT gen_random_uuid(), 1 + floor(%(users)s * 0.75 * random() * random()), 'purchase',
    round((random() * 40)::numeric, 2), now() - random() * interval '60 days', now()
FROM generate_series(1, %(actions)s)"""
SEGMENTS = """
INSERT INTO user_segments (user_id, rfm_group, risk_profile, recency_score, frequency_score, monetary_score,
    frequency, monetary, last_updated)
SELECT n, 'Low', 'Unknown', 1, 1, 1, 0, 0, now() FROM generate_series(1, %(users)s) n"""
PAST_RUNS = """
INSERT INTO rfm_runs (kind, status, as_of, cuts, requested_at, requested_by, started_at, finished_at, users, active,
    changed, lapsed, groups, error)
SELECT 'daily', 'done', at, '{}', at, '', at, at, %(users)s, %(users)s / 2, 1000, 100,
    jsonb_build_object('Whale', %(users)s / 20 + n, 'Medium', %(users)s / 5 - 2 * n, 'Low', %(users)s * 3 / 4 + n), ''
FROM generate_series(1, %(runs)s) n, LATERAL (SELECT now() - (61 - n) * interval '1 day' AS at) moment"""
# Three percent of the users change their group in a run.
CHANGES = """
INSERT INTO segment_changes (user_id, run_id, from_group, to_group, changed_at)
SELECT 1 + floor(%(users)s * random()), id, (ARRAY['Low', 'Medium', 'Whale'])[1 + floor(random() * 2)], 'Medium',
    finished_at
FROM rfm_runs, generate_series(1, %(users)s * 3 / 100) WHERE kind = 'daily'"""
VISITS = """
INSERT INTO site_visits (event_id, user_id, source, visit_timestamp)
SELECT gen_random_uuid(), 1 + floor(%(users)s * random()), (ARRAY['newsletter', 'search', 'tv'])[1 + floor(3 * random())],
    now() - random() * interval '60 days'
FROM generate_series(1, %(actions)s / 10)"""  # noqa: E501


def fill(*, users: int, actions: int, report: Callable[[str], object] = str) -> None:
    """Fill the empty database with segments of `users`, `actions`, 60 runs, and a tenth as many visits as actions."""
    sizes = {"users": users, "actions": actions, "runs": RUNS}
    with connection.cursor() as cursor:
        for statement in (ACTIONS, SEGMENTS, PAST_RUNS, CHANGES, VISITS):
            cursor.execute(statement, sizes)
            report(statement.split()[2])
    compute_rfm_and_update_segments()
    report("RFM")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
