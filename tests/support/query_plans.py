"""The query plans of PostgreSQL for a page."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

CAPPED = 10_000  # the most rows that a list counts


class Plan(NamedTuple):
    """A statement of a page: its text, the number of 8 KiB blocks it reads, and the nodes of its plan."""

    sql: str
    blocks: int
    nodes: list[dict[str, Any]]

    def scans(self, table: str) -> bool:
        """Whether it reads more than CAPPED rows by a scan of the whole table or of a whole index of it."""
        return any(_is_full_scan(node, table) and _rows(node) > CAPPED for node in self.nodes)

    def rows_of(self, table: str) -> int:
        """The number of rows it reads from the table, including those that a filter removes."""
        return sum(_rows(node) for node in self.nodes if node.get("Relation Name") == table)


def _is_full_scan(node: dict[str, Any], table: str) -> bool:
    whole = node["Node Type"] == "Seq Scan" or (node["Node Type"].startswith("Index") and "Index Cond" not in node)
    return whole and node.get("Relation Name") == table


def _rows(node: dict[str, Any]) -> int:
    removed = node.get("Rows Removed by Filter", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def plans(client: Client, url: str) -> list[Plan]:
    """The plans of all SELECTs of the page, from executing each of them again."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return [_plan(query["sql"]) for query in captured if query["sql"].startswith(("SELECT", "WITH"))]


def _plan(sql: str) -> Plan:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql.replace('%', '%%')}", [])
        found = cursor.fetchone()[0]
    nodes = nodes_of(found)
    return Plan(sql, nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"], nodes)


def nodes_of(explained: Any) -> list[dict[str, Any]]:
    """The nodes of a plan, the topmost first, from the answer to EXPLAIN (FORMAT JSON)."""
    return list(_nodes((json.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)
