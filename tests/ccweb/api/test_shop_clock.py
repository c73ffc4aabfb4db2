"""The shop's nights and days, with the two nights of the year that are not as the others."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ccweb.api.shop_clock import batch_due, batch_of, coming_batches, shop_date


@pytest.mark.parametrize(
    ("zone", "day", "utc"),
    [
        ("UTC", date(2026, 3, 29), "2026-03-29T02:00Z"),
        ("Europe/Berlin", date(2026, 3, 28), "2026-03-28T01:00Z"),
        ("Europe/Berlin", date(2026, 3, 29), "2026-03-29T01:00Z"),  # 02:00 is left out: it is 03:00
        ("Europe/Berlin", date(2026, 10, 25), "2026-10-25T00:00Z"),  # the first of two
        ("Asia/Tokyo", date(2026, 1, 1), "2025-12-31T17:00Z"),
    ],
)
def test_the_batch_is_at_two_in_the_shop(zone: str, day: date, utc: str, settings: Any) -> None:
    settings.SHOP_TIME_ZONE = zone
    assert batch_of(day) == datetime.fromisoformat(utc)


def test_every_night_of_a_year_has_one_batch(settings: Any) -> None:
    settings.SHOP_TIME_ZONE = "Europe/Berlin"
    begin = datetime(2026, 1, 1, 12, tzinfo=UTC)
    batches = coming_batches(begin, 365)
    assert [shop_date(at) for at in batches] == [date(2026, 1, 2) + timedelta(days=n) for n in range(365)]
    assert len(set(batches)) == 365
    for before, after in zip([begin, *batches], batches, strict=False):
        assert batch_due(after) == after
        assert batch_due(after - timedelta(microseconds=1)) <= before
