"""The figures of a fault run: one line a fault, on the terminal and in docs/promises.md."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypedDict

from tests.faults.accounting import Account

DOCUMENT = Path(__file__).parents[2] / "docs/promises.md"
BEGIN, END = "<!-- figures: written by make faults -->", "<!-- end of the figures -->"
PROPERTY = "fault"
COLUMNS = ("fault", "sent", "acked", "missing", "phantom", "duplicates", "inversions", "recovery s", "notes")
Recorder = Callable[[str, Any], None]  # pytest's record_property


class Figure(TypedDict):
    """One line of the table; as plain values, because it travels between processes."""

    fault: str
    counts: list[int]
    recovery: str
    notes: str


def figure(fault: str, found: Account | None, recovery: float | None, notes: str) -> Figure:
    """`recovery` in seconds."""
    counts = (
        [found.sent, found.acked, found.missing, found.phantoms, found.duplicates, found.inversions] if found else []
    )
    return Figure(fault=fault, counts=counts, recovery="" if recovery is None else f"{recovery:.1f}", notes=notes)


def judge(
    record: Recorder, fault: str, found: Account, *, recovery: float, duplicates: int = 0, notes: str = ""
) -> None:
    """Notes the figures, then asserts what every fault has to come to; `duplicates` are allowed at most."""
    doubt = f"{found.replayed} stored before their answer was lost" if found.replayed else ""
    bound = f"at most {duplicates} duplicates" if duplicates else ""
    record(PROPERTY, figure(fault, found, recovery, "; ".join(filter(None, (notes, doubt, bound)))))
    assert found.acked > 0
    assert (found.missing, found.phantoms, found.inversions, found.unknown, found.refused) == (0, 0, 0, 0, 0), found
    assert found.duplicates <= duplicates, found


def in_order(line: Figure) -> tuple[bool, int]:
    """A key to sort by: the numbered faults, other measurements, the controls."""
    first = line["fault"].split()[0]
    return first == "control:", int(first) if first.isdecimal() else 1000


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table."""
    rows = [COLUMNS, tuple("-" * len(column) for column in COLUMNS)]
    for line in figures:
        counts = [f"{number:,}" for number in line["counts"]] or [""] * 6
        rows.append((line["fault"], *counts, line["recovery"], line["notes"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS) - 1)]
    return "\n".join(
        "| " + " | ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) + " |"
        for row in rows
    )


def write(figures: Sequence[Figure], introduction: str) -> None:
    """Replaces what stands between the markers of the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{introduction}\n\n{table(figures)}\n\n{END}{after}")
