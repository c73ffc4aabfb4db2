"""The shop's clock: SHOP_TIME_ZONE, in which the nightly batch is at 02:00 and days begin."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from django.conf import settings

BATCH_TIME = time(2)


def shop_zone() -> ZoneInfo:
    """The time zone of the shop."""
    return _zone(settings.SHOP_TIME_ZONE)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def shop_date(instant: datetime) -> date:
    """The date of an instant in the shop."""
    return instant.astimezone(shop_zone()).date()


def batch_of(day: date) -> datetime:
    """02:00 of a day in the shop, in UTC: the first of two when clocks are set back, 03:00 when there is none."""
    return datetime.combine(day, BATCH_TIME, shop_zone()).astimezone(UTC)


def batch_due(now: datetime) -> datetime:
    """The last nightly batch at or before now (UTC)."""
    due = batch_of(shop_date(now))
    return due if due <= now else batch_of(shop_date(now) - timedelta(days=1))


def coming_batches(now: datetime, number: int) -> list[datetime]:
    """The next nightly batches after now (UTC)."""
    first = shop_date(now) if batch_of(shop_date(now)) > now else shop_date(now) + timedelta(days=1)
    return [batch_of(first + timedelta(days=n)) for n in range(number)]
