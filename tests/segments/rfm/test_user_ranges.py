"""The batch in ranges of users, and a row that another transaction writes between its two steps."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from actions.models import UserAction
from segments.models import RfmPolicy, RfmRun, RiskProfile, UserSegment
from segments.recommendations.risk_profiles import set_risk_profile
from segments.rfm.batch import PLANNER, READ_BY_KEY, gathered, in_order, write
from segments.rfm.counted import Counted, is_postgresql
from segments.rfm.runs import compute_rfm_and_update_segments
from segments.rfm.sql import ALL_USERS, EVERYTHING, Reading, activity, difference, parameters
from segments.rfm.user_ranges import COST_PER_USER, RANGES, user_ranges
from tests.segments.cdnow import import_cdnow

pytestmark = pytest.mark.django_db

AS_OF = datetime(1997, 4, 1, 2, tzinfo=UTC)


WATCH = """
    CREATE TEMPORARY TABLE touched (n serial, user_id bigint);
    CREATE FUNCTION pg_temp.touch() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO touched (user_id) VALUES (NEW.user_id); RETURN NEW; END';
    CREATE TRIGGER touching BEFORE UPDATE ON user_segments FOR EACH ROW EXECUTE FUNCTION pg_temp.touch()"""


def analyse() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE user_actions" if is_postgresql() else "ANALYZE")


def plan_of(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}", parameters(RfmPolicy.objects.active().scoring(), AS_OF))
        return "\n".join(row[-1] for row in cursor.fetchall())


def actions_in(condition: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM user_actions WHERE {condition}")
        return int(cursor.fetchone()[0])


def users_in(condition: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(DISTINCT user_id) FROM user_actions WHERE {condition}")
        return int(cursor.fetchone()[0])


def test_no_statistics_no_ranges() -> None:
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = 'user_actions'::regclass")
    assert user_ranges() == [ALL_USERS]


def test_ranges_hold_all_users_and_about_as_much_work_each() -> None:
    import_cdnow()
    ranges = user_ranges()
    if not is_postgresql():
        assert ranges == [ALL_USERS]
        return
    work = [actions_in(condition) + COST_PER_USER * users_in(condition) for condition in ranges]
    assert len(ranges) == RANGES
    assert sum(work) == UserAction.objects.count() + COST_PER_USER * users_in(ALL_USERS)
    assert max(work) < 1.2 * min(work)


def test_many_users_with_an_action_each_are_more_work_than_one_with_as_many() -> None:
    user_ids = [*range(1, 2_001), *([2_020] * 5_000)]
    UserAction.objects.bulk_create(UserAction(user_id=n, action_type="x", action_timestamp=AS_OF) for n in user_ids)
    analyse()
    ranges = user_ranges()
    assert sum(actions_in(condition) for condition in ranges) == 7_000
    if is_postgresql():
        assert [round(users_in(condition), -2) for condition in ranges] == [800, 800, 500]  # and the 5,000 actions


def test_an_emptied_table_with_statistics_has_ranges() -> None:
    UserAction.objects.bulk_create(UserAction(user_id=n, action_type="x") for n in range(1, 500))
    analyse()
    UserAction.objects.all().delete()
    if is_postgresql():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pg_class SET reltuples = 0 WHERE oid = 'user_actions'::regclass")  # as VACUUM does
    assert len(user_ranges()) == (RANGES if is_postgresql() else 1)


def test_ranges_are_scored_in_parallel() -> None:
    if not is_postgresql():
        pytest.skip("SQLite works alone")
    import_cdnow()
    with connection.cursor() as cursor:
        # So that this little data is worth several processes.
        cursor.execute("SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0")
        run = compute_rfm_and_update_segments(as_of=AS_OF)
        assert (run.users, run.active, run.changed) == (23_570, 8_949, 23_570)
        assert run.groups == {"Whale": 5, "Medium": 307, "Low": 23_258}
        policy = RfmPolicy.objects.active()
        cursor.execute(PLANNER)
        with in_order(cursor, READ_BY_KEY):
            plan = plan_of(difference(policy.scoring(), Reading(goes_on=True), user_ranges()))
    assert "Parallel Append" in plan, plan
    assert plan.count("Merge Full Join") == plan.count("Index Scan using user_segments_pkey") == RANGES, plan
    assert compute_rfm_and_update_segments(as_of=AS_OF).changed == 0


@pytest.mark.django_db(transaction=True)
def test_the_aggregate_reads_nothing_but_the_index() -> None:
    if not is_postgresql():
        pytest.skip("about PostgreSQL's planner")
    import_cdnow()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE user_actions")
        with transaction.atomic():
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")  # for as few rows
            plan = plan_of(activity(Counted(RfmPolicy.objects.active().counting)))
    assert "Index Only Scan using user_actions_rfm_cents" in plan, plan


@pytest.mark.django_db(transaction=True)
def test_vacuum_is_not_repeated_before_something_was_written() -> None:
    if not is_postgresql():
        pytest.skip("SQLite needs none")
    vacuumed = []
    for new in (1_000, 0, 1_000):
        users = range(1, new + 1)
        UserAction.objects.bulk_create(UserAction(user_id=n, action_type="x", action_timestamp=AS_OF) for n in users)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")  # else PostgreSQL counts a second later
        with CaptureQueriesContext(connection) as captured:
            compute_rfm_and_update_segments(as_of=AS_OF)
        vacuumed.append(any(query["sql"].startswith("VACUUM") for query in captured))
    assert vacuumed == [True, False, True]


def test_rows_are_locked_in_the_order_in_which_set_risk_profile_locks_them() -> None:
    if not is_postgresql():
        pytest.skip("SQLite has one writer at a time")
    import_cdnow()
    compute_rfm_and_update_segments(as_of=AS_OF)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0")
        cursor.execute(WATCH)
        run = compute_rfm_and_update_segments(as_of=AS_OF + timedelta(days=20))
        cursor.execute("SELECT user_id FROM touched ORDER BY n")
        touched = [row[0] for row in cursor.fetchall()]
    assert len(touched) == run.changed > 1_000
    assert touched == sorted(touched)


def test_sqlite_finds_each_old_row_by_its_key() -> None:
    if is_postgresql():
        pytest.skip("about SQLite's planner")
    policy = RfmPolicy.objects.active()
    sql = difference(policy.scoring(), EVERYTHING, user_ranges())
    plan = plan_of("QUERY PLAN " + sql.removeprefix("CREATE TEMPORARY TABLE rfm_difference AS "))
    assert any(step.startswith("SEARCH old USING INDEX") for step in plan.splitlines()), plan


def test_a_risk_profile_that_comes_between_the_two_steps_is_kept() -> None:
    UserAction.objects.bulk_create(UserAction(user_id=n, action_type="x", action_timestamp=AS_OF) for n in (1, 2, 3))
    scoring = RfmPolicy.objects.active().scoring()
    run = RfmRun.objects.create(as_of=AS_OF, started_at=timezone.now())
    with transaction.atomic(), gathered(scoring, AS_OF) as outcome:
        set_risk_profile(user_ids=[2], risk_profile=RiskProfile.HIGH, by="staff")
        write(run, scoring, moment=timezone.now())
    assert outcome.changed == 3
    assert dict(UserSegment.objects.values_list("user_id", "risk_profile")) == {
        1: "Unknown",
        2: "High-Risk",
        3: "Unknown",
    }
    assert set(UserSegment.objects.values_list("frequency", flat=True)) == {1}
