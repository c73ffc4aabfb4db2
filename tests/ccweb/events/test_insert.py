"""The statement that inserts events."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection
from psycopg.sql import Literal

from actions.recording import _statement
from ccweb.db.statements import as_text, numbered
from tests.support.query_plans import nodes_of

pytestmark = pytest.mark.django_db
EVENTS = 1000


def test_the_plan_for_any_number_of_events_compares_none_with_each_other() -> None:
    """The plan that PostgreSQL keeps after five executions, for a list whose events bring their event_ids."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite inserts event by event")
    now, ids = datetime.now(UTC), [[uuid.uuid4() for _ in range(EVENTS)] for _ in range(2)]
    none = [""] * EVENTS
    columns = [range(1, EVENTS + 1), ["login"] * EVENTS, [Decimal(1)] * EVENTS, [now] * EVENTS, none, none]
    sent = [*ids, *map(list, columns), ["{}"] * EVENTS, ["{}"] * EVENTS, now, "topic_user_actions", now]
    arguments = ", ".join(Literal(text).as_string(None) for text in as_text(sent))
    types = "uuid[], uuid[], bigint[], text[], numeric[], timestamptz[], text[], text[], text[], text[]"
    types += ", timestamptz, text, timestamptz"
    raw = connection.cursor().connection  # psycopg's own cursor knows no Django placeholders
    raw.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    raw.execute(f"PREPARE listed ({types}) AS {numbered(_statement()._statements[False])}")
    nodes = nodes_of(raw.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE listed({arguments})").fetchone()[0])
    raw.execute("DEALLOCATE listed")
    assert [node["Relation Name"] for node in nodes if node["Node Type"] == "ModifyTable"] == ["user_actions", "outbox"]
    assert max(node.get("Rows Removed by Join Filter", 0) for node in nodes) <= EVENTS
