"""The metrics of the last RFM run, and of the scheduler."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily as Gauge

from ccweb.db.leader_election import is_led
from segments.models import RfmRun


def rfm() -> Iterator[Gauge]:
    """End (Unix time) and duration (seconds) of the last successful run; no samples before the first one."""
    run = RfmRun.objects.done().first()
    if run and run.started_at and run.finished_at:
        name, text = "ccweb_rfm_last_success_timestamp_seconds", "When the last successful run ended (Unix time)."
        yield Gauge(name, text, run.finished_at.timestamp())
        seconds = (run.finished_at - run.started_at).total_seconds()
        yield Gauge("ccweb_rfm_last_success_duration_seconds", "How long it took.", seconds)


def scheduler() -> Iterator[Gauge]:
    """Whether a scheduler leads."""
    text = "Schedulers that lead: 1, or 0 when no process makes the daily runs."
    yield Gauge("ccweb_scheduler_leaders", text, float(is_led("scheduler")))
