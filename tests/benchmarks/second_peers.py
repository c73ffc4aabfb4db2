"""Second peers, so that nobody can say that the peer is weak; measured like it, but shorter and without goals."""

from collections import defaultdict
from statistics import median

from tests.benchmarks.figures import ratio
from tests.benchmarks.history import quiet
from tests.benchmarks.load import HUNDRED, ONE, READ, Load
from tests.benchmarks.peers import Peer
from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, print_progress
from tests.benchmarks.serving import Serving

SECOND_PEERS = {"async": "FastAPI, async SQLAlchemy, asyncpg", "drf": "Django REST framework, ORM"}
KINDS = {"POST one action": ONE, "POST lists of 100": HUNDRED, "GET recommendation": READ}
Loads = dict[tuple[str, str], list[Load]]


def compare_second_peers(rig: Rig, scale: Scale, serving: Serving) -> Loads:
    """The loads of ours and of each second peer by kind of request; they alternate, as for T1 to T3."""
    loads: Loads = defaultdict(list)
    peers = {name: Peer(rig, name, serving.urls[name]) for name in SECOND_PEERS}
    for peer in peers.values():
        serving.compare_answers(peer.server)
        for kind in KINDS.values():
            peer.drive(kind, 1)
    for repetition in range(scale.second_peers):
        for title, kind in KINDS.items():
            for name in ["ours", *peers][:: -1 if repetition % 2 else 1]:
                quiet(serving.urls["ours"])
                seconds = scale.seconds // 2
                load = peers[name].drive(kind, seconds) if name in peers else serving.drive_ours(kind, seconds)
                loads[name, title].append(load)
    for peer in peers.values():
        peer.check_the_work(rig.kafka.address)
        peer.close()
    print_progress(f"second peers: {scale.second_peers} repetitions")
    return loads


def table(loads: Loads) -> list[str]:
    """Our rate against that of each second peer, and its CPU a request against ours, as rows of Markdown."""
    rows = ["| load | second peer | rate: ours / its | CPU a request: its / ours | its events/s (GET: requests/s) |"]
    rows += ["| --- | --- | --- | --- | --- |"]
    for title in KINDS:
        for name, description in SECOND_PEERS.items():
            ours, theirs = loads["ours", title], loads[name, title]
            rates = [[load.events for load in found] for found in (ours, theirs)]
            cpu = [[sum(load.cpu.values()) for load in found] for found in (theirs, ours)]
            figures = f"{ratio(*rates).text('x')} | {ratio(*cpu).text('x')} | {median(rates[1]):,.0f}"
            rows.append(f"| {title} | {description} | {figures} |")
    return rows
