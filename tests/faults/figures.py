"""The figures of a fault run: one row per fault, on the terminal and in docs/promises.md.

A run of some faults, such as `FAULT_FIGURES=1 pytest tests/faults -k frozen -m ''`, updates only their rows.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from tests.faults.accounting import Account

DOCUMENT = Path(__file__).parents[2] / "docs/promises.md"
BEGIN, END = "<!-- figures: written by make faults -->", "<!-- end of the figures -->"
PROPERTY = "fault"
COLUMNS = ("fault", "sent", "acked", "missing", "phantom", "duplicates", "inversions", "recovery s", "run", "notes")
Row = tuple[str, ...]
Recorder = Callable[[str, Any], None]  # pytest's record_property


class Figure(TypedDict):
    """One row of the table, as plain values, because xdist sends it between processes."""

    fault: str
    counts: list[int]
    recovery: str
    notes: str


def figure(fault: str, found: Account | None, recovery: float | None, notes: str) -> Figure:
    """A row of the table; `recovery` is in seconds."""
    counts = (
        [found.sent, found.acked, found.missing, found.phantoms, found.duplicates, found.inversions] if found else []
    )
    return Figure(fault=fault, counts=counts, recovery="" if recovery is None else f"{recovery:.1f}", notes=notes)


def record_and_check(
    record: Recorder, fault: str, found: Account, *, recovery: float, duplicates: int = 0, notes: str = ""
) -> None:
    """Record the figures, then assert what must hold after every fault; `duplicates` is the most that are allowed."""
    replayed = f"{found.replayed} stored before their answer was lost" if found.replayed else ""
    bound = f"at most {duplicates} duplicates" if duplicates else ""
    record(PROPERTY, figure(fault, found, recovery, "; ".join(filter(None, (notes, replayed, bound)))))
    assert found.acked > 0
    assert (found.missing, found.phantoms, found.inversions, found.unknown, found.refused) == (0, 0, 0, 0, 0), found
    assert found.duplicates <= duplicates, found


def table(figures: Sequence[Figure], run: str) -> str:
    """A Markdown table; `run` is the time of the run."""
    return _markdown([_cells(line, run) for line in figures])


def write(figures: Sequence[Figure], introduction: str, run: str) -> None:
    """Write the figures between the markers of the document; rows of other faults keep their values and their run."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = {row[0]: row for row in [*_rows(old), *(_cells(line, run) for line in figures)]}
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{introduction}\n\n{_markdown(list(rows.values()))}\n\n{END}{after}")


def _cells(line: Figure, run: str) -> Row:
    counts = [f"{number:,}" for number in line["counts"]] or [""] * 6
    return (line["fault"], *counts, line["recovery"], run, line["notes"])


def _rows(markdown: str) -> list[Row]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in lines[2:]]


def _markdown(rows: list[Row]) -> str:
    lines = [COLUMNS, tuple("-" * len(column) for column in COLUMNS), *sorted(rows, key=_order)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS) - 1)]
    return "\n".join(
        "| " + " | ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]) + " |"
        for line in lines
    )


def _order(row: Row) -> tuple[bool, int, str]:
    """Sort key: numbered faults, then other measurements, then controls."""
    first = row[0].split()[0]
    return first == "control:", int(first) if first.isdecimal() else 1000, row[0]
