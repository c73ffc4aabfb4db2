"""Metrics of a process as such: which release it runs, and its memory, CPU time and open files."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from django.conf import settings
from prometheus_client import Metric, ProcessCollector
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector


class BuildInfo(Collector):
    """The version of this code, and what the environment variable RELEASE says of it."""

    def collect(self) -> Iterator[Metric]:
        release = {"version": settings.VERSION, "revision": settings.RELEASE}
        yield InfoMetricFamily("ccweb_build", "The release that runs here.", release)


class Processes(Collector):
    """The standard process metrics (process_...) of several processes of this machine, by the label pid.

    Read from /proc, because prometheus_client has none when several processes share their metrics.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._pids:
            of_one = ProcessCollector(registry=None, pid=partial(int, pid)).collect()
            for metric in of_one:
                samples = [sample._replace(labels={"pid": str(pid)}) for sample in metric.samples]
                metric.samples = families[metric.name].samples + samples if metric.name in families else samples
                families[metric.name] = metric
        return families.values()
