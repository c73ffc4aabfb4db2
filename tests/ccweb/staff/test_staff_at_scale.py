"""The admin on a large PostgreSQL: no page scans user_actions, no list grows with its table."""

import csv
import tracemalloc
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from segments.models import UserSegment
from tests.support.postgres_rows import fill
from tests.support.query_plans import Plan, plans

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True, serialized_rollback=True)]
MOST_ROWS = 11_000  # the capped count reads 10,000, a page 100
SMALL, LARGE = {"users": 1000, "actions": 10_000}, {"users": 30_000, "actions": 300_000}
SEGMENTS = "/admin/segments/usersegment/"
LISTS = [
    SEGMENTS,
    f"{SEGMENTS}?q=77",
    "/admin/actions/useraction/",
    "/admin/actions/useraction/?q=77",
    "/admin/visits/sitevisit/",
    "/admin/segments/segmentchange/",
    "/admin/segments/rfmrun/",
]
PAGES = [
    *LISTS,
    "/admin/",
    f"{SEGMENTS}?rfm_group=Medium",
    f"{SEGMENTS}?leaving=Whale",
    f"{SEGMENTS}?leaving=Medium",
    f"{SEGMENTS}?last_action=7",
    f"{SEGMENTS}77/change/",
    "/admin/users/77/",
    "/admin/actions/useraction/77/change/",
]


@pytest.fixture
def staff() -> Client:
    if connection.vendor != "postgresql":
        pytest.skip("plans are PostgreSQL's: --database postgresql")
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    return client


def read_rows(pages: list[list[Plan]], table: str) -> int:
    """The most rows of the table that one statement of the pages reads, or looks at and drops."""
    return max(plan.rows_of(table) for page in pages for plan in page)


def test_no_page_scans_the_actions_and_no_list_grows_with_its_table(staff: Client) -> None:
    fill(**SMALL)
    small = {url: sum(plan.blocks for plan in plans(staff, url)) for url in LISTS}
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE user_actions, user_segments, segment_changes, site_visits, rfm_runs RESTART IDENTITY")
    fill(**LARGE)
    large = {url: plans(staff, url) for url in PAGES}
    for url, page in large.items():
        assert not any(plan.scans("user_actions") for plan in page), url
    assert read_rows([large[url] for url in LISTS], "user_actions") <= MOST_ROWS
    for url, blocks in small.items():
        # A page's 100 rows may each lie in a block; the capped count reads up to 10,000 rows, 40 and more a block.
        counted = 100 if "q=" in url else MOST_ROWS // 40
        assert sum(plan.blocks for plan in large[url]) <= 2 * blocks + counted, url


def test_an_export_of_200000_rows_needs_no_more_memory_than_one_of_2000(staff: Client) -> None:
    UserSegment.objects.bulk_create((UserSegment(user_id=n) for n in range(1, 2001)), batch_size=1000)
    few = peak_of_export(staff, 2000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO user_segments (user_id, rfm_group, risk_profile, recency_score, frequency_score,"
            " monetary_score, frequency, monetary, last_updated)"
            " SELECT n, 'Low', 'Unknown', 1, 1, 1, 0, 0, now() FROM generate_series(2001, 200000) n"
        )
    assert peak_of_export(staff, 200_000) < 10_000_000 + few


def peak_of_export(staff: Client, rows: int) -> int:
    """Bytes that Python held at most while the CSV was read line by line."""
    tracemalloc.start()
    try:
        answer = staff.get(reverse("admin:segments_usersegment_export"))
        assert sum(1 for _ in csv.reader(lines(answer.streaming_content))) == rows + 1
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def lines(chunks: Iterator[bytes]) -> Iterator[str]:
    return (chunk.decode() for chunk in chunks)
