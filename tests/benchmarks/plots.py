"""Plots as SVG, without a library."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

COLOURS = ["#2b6cb0", "#a0aec0", "#718096", "#dd6b20", "#38a169"]
WIDTH, LEFT, LINE = 720, 190, 22
STYLE = "font: 13px sans-serif; fill: #2d3748"


def bars(file: Path, title: str, groups: Mapping[str, Mapping[str, float]]) -> None:
    """A bar chart in groups; each group has its own scale, because only the ratios are meaningful."""
    parts, y = [_text(10, 22, title, "font-weight: bold")], 50
    for group, values in groups.items():
        parts.append(_text(10, y, group))
        longest = max(values.values())
        for colour, (name, value) in zip(COLOURS, values.items(), strict=False):
            y += LINE
            width = (WIDTH - LEFT - 110) * value / longest
            parts.append(_text(LEFT - 8, y, name, "", "end"))
            parts.append(f'<rect x="{LEFT}" y="{y - 13}" width="{width:.1f}" height="16" fill="{colour}"/>')
            parts.append(_text(LEFT + width + 6, y, f"{value:,.0f}"))
        y += 2 * LINE
    _write(file, y - LINE, parts)


def lines(file: Path, title: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Curves over logarithmic axes with equal decades: linear growth has a slope of 45 degrees."""
    points = [point for curve in series.values() for point in curve]
    low_x, high_x = _decades([x for x, _ in points])
    low_y, high_y = _decades([y for _, y in points])
    step = min(560 / (high_x - low_x), 300 / (high_y - low_y))
    bottom = 50 + step * (high_y - low_y)

    def place(x: float, y: float) -> tuple[float, float]:
        return 70 + step * (math.log10(x) - low_x), bottom - step * (math.log10(y) - low_y)

    parts = [_text(10, 22, title, "font-weight: bold")]
    for power in range(low_x, high_x + 1):
        x, _ = place(10**power, 10**low_y)
        parts += [_rule(x, 50, x, bottom), _text(x, bottom + 18, f"{10**power:,}", "", "middle")]
    for power in range(low_y, high_y + 1):
        _, y = place(10**low_x, 10**power)
        parts += [_rule(70, y, 70 + step * (high_x - low_x), y), _text(62, y + 4, f"{10.0**power:g} s", "", "end")]
    for number, (colour, (name, curve)) in enumerate(zip(COLOURS, series.items(), strict=False)):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" fill="{colour}"/>' for p in path.split()
        ]
        y = bottom + 2 * LINE + LINE * number
        parts += [f'<rect x="70" y="{y - 11}" width="14" height="14" fill="{colour}"/>', _text(92, y, name)]
    _write(file, bottom + LINE * (2.5 + len(series)), parts)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{STYLE}; {style}">{escape(text)}</text>'


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e2e8f0"/>'


def _write(file: Path, height: float, parts: Sequence[str]) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}">'
    file.write_text("\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""]))
