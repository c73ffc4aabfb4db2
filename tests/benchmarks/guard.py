"""The regression guard: a figure that is a third worse than the committed one is reported; times are never compared."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks.figures import GOALS, Figures

COMMITTED = Path(__file__).parents[2] / "docs" / "benchmarks.json"
WORSE = 1.5  # times, either way: less than two thirds, or more than three halves


def keep(figures: Figures, file: Path = COMMITTED) -> None:
    """Write the figures that QUICK=1 compares itself with: at the sizes it has too."""
    file.write_text(json.dumps({name: round(found.value, 4) for name, found in figures.items()}, indent=1) + "\n")


def dropped(figures: Figures, file: Path = COMMITTED) -> Iterable[str]:
    """A line for each figure that is much worse than the committed one."""
    committed = json.loads(file.read_text()) if file.exists() else {}
    for goal in GOALS:
        if goal.id in figures and goal.id in committed:
            now, before = figures[goal.id].value, committed[goal.id]
            worse = now * WORSE < before if goal.least is not None else now > before * WORSE
            if worse:
                yield f"{goal.id} {goal.what}: {now:.3g}{goal.unit} now, {before:.3g}{goal.unit} committed"
