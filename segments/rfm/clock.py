"""The moment for which runs and forecasts are made: now, or with RFM_AS_OF=data the end of the data."""

from datetime import datetime

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from actions.models import UserAction
from segments.models import RfmRun


def data_end(until: datetime | None = None) -> datetime | None:
    """The last action up to a moment (UTC, default now); None without any. Reads all actions."""
    stored = UserAction.objects.filter(action_timestamp__lte=until or timezone.now())
    end: datetime | None = stored.aggregate(end=Max("action_timestamp"))["end"]
    return end


def run_moment() -> datetime:
    """The as_of (UTC) of a run for which none is given."""
    now = timezone.now()
    return (data_end(now) or now) if is_of_data() else now


def present() -> datetime:
    """The moment (UTC) from which outlooks and forecasts look ahead; with RFM_AS_OF=data that of the last run."""
    if not is_of_data():
        return timezone.now()
    last = RfmRun.objects.done().first()
    return last.as_of if last and last.as_of else run_moment()


def is_of_data() -> bool:
    """Whether runs are made as of the end of the data."""
    return bool(settings.RFM_AS_OF == "DATA")
