"""Regression check: reports figures that are a third worse than the committed ones. It compares ratios, no times."""

import json
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks.figures import GOALS, Figures

COMMITTED = Path(__file__).parents[2] / "docs" / "benchmarks.json"
WORSE = 1.5  # a factor: below two thirds, or above three halves


def save(figures: Figures, file: Path = COMMITTED) -> None:
    """Write the figures that a run with QUICK=1 is compared with: those of its sizes."""
    file.write_text(json.dumps({name: round(found.value, 4) for name, found in figures.items()}, indent=1) + "\n")


def regressions(figures: Figures, file: Path = COMMITTED) -> Iterable[str]:
    """A line for each figure that is worse than the committed one by the factor WORSE."""
    committed = json.loads(file.read_text()) if file.exists() else {}
    for goal in GOALS:
        if goal.id in figures and goal.id in committed:
            now, before = figures[goal.id].value, committed[goal.id]
            worse = now * WORSE < before if goal.least is not None else now > before * WORSE
            if worse:
                yield f"{goal.id} {goal.what}: {now:.3g}{goal.unit} now, {before:.3g}{goal.unit} committed"
