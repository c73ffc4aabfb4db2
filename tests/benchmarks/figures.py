"""The published figures and their goals; all are ratios, except rows and megabytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Goal:
    """A lower or upper bound of a figure."""

    id: str
    what: str
    least: float | None = None
    most: float | None = None
    unit: str = "x"

    def is_met(self, value: float) -> bool:
        """Whether the value is within the bound."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        sign, bound = (">=", self.least) if self.least is not None else ("<=", self.most)
        return f"{sign} {bound:g}{self.unit}"


GOALS = [
    Goal("T1a", "POST one action, requests/s against the peer", least=7),
    Goal("T1b", "POST one action, CPU a request: the peer's against ours (web and relay)", least=9),
    Goal("T1c", "POST one action, requests/s against pgbench inserts of the row", least=0.3),
    Goal("T2a", "POST lists of 100, events/s against the peer", least=12),
    Goal("T2b", "POST lists of 1,000, events/s against the peer", least=17),
    Goal("T2c", "POST lists of 100, events/s against COPY of such lists", least=0.6),
    Goal("T2d", "POST lists of 1,000, events/s against COPY of such lists", least=0.6),
    Goal("T2e", "POST lists of 1,000 with event_ids, events/s against COPY of such lists", least=0.5),
    Goal("T3a", "GET recommendation, requests/s against the peer", least=10),
    Goal("T3b", "GET recommendation, requests/s against two raw loops", least=0.75),
    Goal("T4a", "RFM of an ordinary next day, times faster than the peer", least=150),
    Goal("T4b", "RFM of an ordinary next day, time against one process's bare aggregate", most=0.75),
    Goal("T5a", "RFM when nothing changed, time against one process's bare aggregate", most=0.6),
    Goal("T5b", "RFM when nothing changed, rows written", most=0, unit=" rows"),
    Goal("T6a", "RFM, first run, times faster than the peer", least=150),
    Goal("T6b", "RFM, first run, time against one process's bare aggregate", most=1.5),
    Goal("T7", "RFM, cost of an action: the highest of all sizes against the lowest", most=1.5),
    Goal("T8", "Relay, drain of a backlog against the peak POST rate", least=5),
    Goal("T9", "Import from CSV, rows/s against COPY", least=0.3),
    Goal("T10a", "Memory of a web process after all loads", most=120, unit=" MB"),
    Goal("T10b", "Memory of compute_rfm, the largest of all sizes", most=100, unit=" MB"),
]


@dataclass(frozen=True)
class Measured:
    """The median, minimum and maximum of the repetitions."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Measured":
        """From one value per repetition."""
        return cls(median(values), min(values), max(values))

    def text(self, unit: str) -> str:
        """Such as 5.31x (4.92 to 5.60)."""
        spread = f" ({_short(self.low)} to {_short(self.high)})" if self.low != self.high else ""
        return f"{_short(self.value)}{unit}{spread}"


Figures = dict[str, Measured]


def ratio(ours: Sequence[float], other: Sequence[float]) -> Measured:
    """The ratio of the medians; minimum and maximum are those of the ratios of single repetitions."""
    each = [a / b for a, b in zip(ours, other, strict=False)]
    return Measured(median(ours) / median(other), min(each), max(each))


def single(value: float) -> Measured:
    """A figure that was measured once."""
    return Measured(value, value, value)


def _short(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 100 or number == int(number) else f"{number:.3g}"
