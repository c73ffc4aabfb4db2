"""CSV parser: yields the valid rows and the bad lines of a file of actions."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from actions.csv_import.cells import (
    BadLine,
    action_type_of,
    event_id_of,
    instant_until,
    latest_instant,
    order_id_of,
    quoted,
    user_id_of,
    value_of,
)
from actions.csv_import.derived_event_ids import EventIds


class UnreadableFile(Exception):
    """The file as a whole cannot be imported; the message says why in one line."""


class Row(NamedTuple):
    """One action as canonical text; event_id as 32 hexadecimal digits, given by the file or derived.

    order_id is empty without an order. It is no part of what an event_id is derived from: a file that was imported
    without its orders has the same event_ids.
    """

    line: int
    event_id: str
    user_id: str
    action_type: str
    value: str
    action_timestamp: str
    order_id: str
    given: bool


class BadRow(NamedTuple):
    """A line that is left out: `where` is "line 7", or "lines 7 to 9" when a quoted cell contains line breaks."""

    where: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The names of the columns to read, and the defaults of those that are missing.

    `value=""` reads the column `value` or, in a file without one, uses 0 for every line. `action_type` is the type of
    all lines; `""` reads the column of that name. `order=""` reads the column `order_id` if there is one.
    """

    user: str = "user_id"
    time: str = "action_timestamp"
    value: str = ""
    action_type: str = ""
    order: str = ""


class ActionReader:
    """The rows of one file; `lines` are its lines of text, the header first.

    Raises UnreadableFile when the header or a column is missing.
    """

    unit = "line"

    def __init__(self, lines: Iterable[str], columns: Columns) -> None:
        self._cells = csv.reader(lines, strict=True)
        self._event_ids = EventIds()
        self._latest = latest_instant()
        self._header = self._read_header()
        self._user = self._index(columns.user)
        self._time = self._index(columns.time)
        self._value = self._index(columns.value) if columns.value else self._optional_index("value")
        self._fixed_type = columns.action_type
        self._type = None if columns.action_type else self._index("action_type", " (or use --action-type NAME)")
        self._event_id = self._optional_index("event_id")
        self._order = self._index(columns.order) if columns.order else self._optional_index("order_id")

    def __iter__(self) -> Iterator[Row | BadRow]:
        while True:
            first = self._cells.line_num + 1
            try:
                if cells := next(self._cells):
                    yield self._row(cells)
            except StopIteration:
                return
            except (BadLine, csv.Error) as error:
                last = self._cells.line_num
                yield BadRow(f"line {first}" if last <= first else f"lines {first} to {last}", str(error))

    def place(self, line: int) -> str:
        return f"line {line}"

    def _read_header(self) -> list[str]:
        try:
            header = [name.strip() for name in next(self._cells)]
        except StopIteration:
            raise UnreadableFile("it is empty; a header line is expected") from None
        except csv.Error as error:
            raise UnreadableFile(f"it is not a CSV file: {error}") from None
        if any("\0" in name for name in header):
            raise UnreadableFile("it is not UTF-8 text")
        return header

    def _index(self, name: str, hint: str = "") -> int:
        index = self._optional_index(name)
        if index is None:
            raise UnreadableFile(f"it has no column {quoted(name)}{hint}; it has {quoted(', '.join(self._header))}")
        return index

    def _optional_index(self, name: str) -> int | None:
        if self._header.count(name) > 1:
            raise UnreadableFile(f"it has the column {quoted(name)} more than once")
        return self._header.index(name) if name in self._header else None

    def _row(self, cells: Sequence[str]) -> Row:
        if len(cells) != len(self._header):
            raise BadLine(f"{len(cells)} cells where the header has {len(self._header)}")
        user_id = user_id_of(cells[self._user].strip())
        instant = instant_until(self._latest, cells[self._time].strip())
        value = "0.00" if self._value is None else value_of(cells[self._value].strip())
        action_type = self._fixed_type if self._type is None else action_type_of(cells[self._type].strip())
        given = "" if self._event_id is None else cells[self._event_id].strip()
        event_id = event_id_of(given) if given else self._event_ids.next(user_id, instant, value, action_type)
        order_id = "" if self._order is None else order_id_of(cells[self._order].strip())
        return Row(self._cells.line_num, event_id, user_id, action_type, value, instant, order_id, bool(given))
