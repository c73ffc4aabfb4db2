"""Runs the benchmarks and collects their results."""

from dataclasses import dataclass, field

from tests.benchmarks import batch
from tests.benchmarks.backlog import drain_rates
from tests.benchmarks.figures import Figures, Measured
from tests.benchmarks.importing import import_rate
from tests.benchmarks.load import Load
from tests.benchmarks.pages import page_costs
from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, print_progress
from tests.benchmarks.second_peers import compare_second_peers
from tests.benchmarks.servers import Choice, compare_servers
from tests.benchmarks.serving import Serving


@dataclass
class Results:
    """The figures, and the other data of docs/benchmarks.md."""

    figures: Figures = field(default_factory=dict)
    loads: dict[tuple[str, str], list[Load]] = field(default_factory=dict)
    floors: dict[str, list[float]] = field(default_factory=dict)
    work: dict[str, dict[str, int]] = field(default_factory=dict)
    second_peers: dict[tuple[str, str], list[Load]] = field(default_factory=dict)
    choice: Choice | None = None
    batches: list[batch.Batch] = field(default_factory=list)
    drains: dict[int, list[float]] = field(default_factory=dict)
    pages: dict[int, dict[str, float]] = field(default_factory=dict)


def run(scale: Scale, part: str | None) -> Results:
    """Run all benchmarks, or the part `http` or `rfm`."""
    results = Results()
    print_progress("starting PostgreSQL, Redis and Apache Kafka")
    with Rig() as rig:
        if part != "rfm":
            _measure_http(rig, scale, results)
        if part != "http":
            _measure_rfm(rig, scale, results)
    return results


def _measure_http(rig: Rig, scale: Scale, results: Results) -> None:
    serving = Serving(rig, scale)
    serving.run()
    results.figures |= serving.figures()
    results.loads, results.floors, results.work = serving.loads, serving.floors, serving.work
    if scale.second_peers:
        results.second_peers = compare_second_peers(rig, scale, serving)
    if scale.servers:
        results.choice = compare_servers(rig, scale, serving)
    serving.close()
    results.drains = drain_rates(rig, scale)
    rates = results.drains[max(results.drains)]
    results.figures["T8"] = Measured.of([rate / serving.peak for rate in rates])


def _measure_rfm(rig: Rig, scale: Scale, results: Results) -> None:
    results.figures["T9"], imported = import_rate(rig, scale)
    results.batches, urls = batch.measure(rig, scale, {scale.lines: imported})
    if scale.is_full:
        results.pages = {actions: page_costs(rig, url) for actions, url in urls.items()}
    results.figures |= batch.figures(results.batches)
