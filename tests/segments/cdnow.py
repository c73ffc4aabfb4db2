"""The real purchases of 23,570 customers, see tests/data/README.md."""

import csv
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from django.core.management import call_command

from tests.segments.rfm_oracle import Action

FILE = Path(__file__).parents[1] / "data/cdnow.csv"
COLUMNS = ("--user-column=customer_id", "--time-column=date", "--value-column=amount", "--action-type=purchase")


def import_cdnow() -> None:
    """Import the whole file by the management command."""
    call_command("import_actions", str(FILE), *COLUMNS)


def cdnow_actions() -> list[Action]:
    """The file as the oracle reads it."""
    with FILE.open() as lines:
        return [
            Action(
                int(line["customer_id"]),
                datetime.fromisoformat(line["date"]).replace(tzinfo=UTC),
                Decimal(line["amount"]),
            )
            for line in csv.DictReader(lines)
        ]
