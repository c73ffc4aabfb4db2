"""Data for SVG charts; the templates also show the same numbers as text."""

from collections.abc import Sequence
from typing import Any, NamedTuple

WIDTH, HEIGHT = 640, 180
PALETTE = 6  # colors that the style sheet has


class Area(NamedTuple):
    """One band of a stacked area chart: its label, its index in the palette, and the polygon as SVG points."""

    label: str
    colour: int
    points: str


def stacked_areas(series: dict[str, Sequence[int]]) -> list[Area]:
    """Bands stacked from the bottom, in the order of the dict; every sequence has one number for each moment."""
    length = max((len(numbers) for numbers in series.values()), default=0)
    if length == 0:
        return []
    if length == 1:  # a single moment is drawn as a horizontal band
        series, length = {label: [*numbers, *numbers] for label, numbers in series.items()}, 2
    top = max(map(sum, zip(*series.values(), strict=True))) or 1
    floor = [0] * length
    areas = []
    for colour, (label, numbers) in enumerate(series.items()):
        ceiling = [below + number for below, number in zip(floor, numbers, strict=True)]
        outline = [*_line(ceiling, top), *reversed(_line(floor, top))]
        areas.append(Area(label, colour % PALETTE, " ".join(outline)))
        floor = ceiling
    return areas


def _line(levels: Sequence[int], top: int) -> list[str]:
    step = WIDTH / (len(levels) - 1)
    return [f"{n * step:.1f},{HEIGHT - level * HEIGHT / top:.1f}" for n, level in enumerate(levels)]


def bars(counts: dict[Any, float]) -> list[dict[str, Any]]:
    """Rows {label, count, percent}; percent of the largest count, for the width of a bar."""
    greatest = max(counts.values(), default=0) or 1
    return [{"label": label, "count": n, "percent": round(100 * n / greatest, 1)} for label, n in counts.items()]


def ruler(figure: float, cuts: Sequence[float]) -> dict[str, Any]:
    """A value and its cut points on a scale from 0 to 100: {"filled": length, "ticks": positions}."""
    whole = max(figure, *cuts, 0.0) * 1.05 or 1.0
    places = sorted({round(100 * max(cut, 0.0) / whole, 1) for cut in cuts})
    return {"filled": round(100 * max(figure, 0.0) / whole, 1), "ticks": places}


def shade(count: int, total: int) -> int:
    """A step of the heat map's scale, 0 (no users) to 5, on a logarithmic scale so that small groups stay visible."""
    if not count:
        return 0
    steps = (0.5, 0.1, 0.01, 0.001)
    return 5 - sum(count / total < step for step in steps)
