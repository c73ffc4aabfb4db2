"""Demo data for an empty embedded database: real purchases and a superuser."""

import csv
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from django.contrib.auth import get_user_model

from actions.csv_import.importer import import_actions
from actions.csv_import.reader import ActionReader, BadRow, Columns
from actions.models import UserAction
from segments.models import RfmRun
from segments.rfm.runs import compute_rfm_and_update_segments

SAMPLE = Path(__file__).parent / "data/cdnow_sample.csv"
LAST_DAY = date(1997, 4, 1)
ADMIN = "admin"


def load_demo(*, today: date | None = None) -> RfmRun | None:
    """Load the CDNOW sample with LAST_DAY moved to today (UTC) and compute RFM; None when there are actions already.

    The shift is a whole number of days and purchases have a date only (midnight UTC), so a run at any time of today
    after 00:00:00 sees the same 30-day window and the same whole days of recency as one at 02:00 of LAST_DAY.
    """
    if UserAction.objects.exists():
        return None
    columns = Columns(user="customer_id", time="date", value="amount", action_type="purchase")
    reader = ActionReader(shifted_sample(today or datetime.now(UTC).date()), columns)
    for _ in import_actions(rows=reader, publish=False, report=refuse):
        pass
    return compute_rfm_and_update_segments(kind=RfmRun.Kind.STARTUP)


def shifted_sample(today: date) -> Iterator[str]:
    """The lines of the sample up to LAST_DAY, each date moved by today - LAST_DAY."""
    with SAMPLE.open(newline="") as file:
        yield "customer_id,date,amount\n"
        for row in csv.DictReader(file):
            day = date.fromisoformat(row["date"])
            if day <= LAST_DAY:
                yield f"{row['customer_id']},{day + (today - LAST_DAY)},{row['amount']}\n"


def refuse(bad: BadRow) -> None:
    """Raise ValueError: the sample is part of the repository, so a bad line means a damaged checkout."""
    raise ValueError(f"{SAMPLE}, {bad.where}: {bad.why}")


def admin_password(folder: Path) -> str | None:
    """The password of the user `admin`, stored in the folder; both are created when there is no superuser.

    None when the password is not known: it was changed, or the database has other superusers.
    """
    file, users = folder / "admin_password", get_user_model()._default_manager
    kept = file.read_text().strip() if file.exists() else ""
    admin = users.filter(username=ADMIN).first()
    if admin:
        return kept if kept and admin.check_password(kept) else None
    if users.filter(is_superuser=True).exists():
        return None
    password = kept or secrets.token_urlsafe(12)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(password + "\n")
    get_user_model().objects.create_superuser(ADMIN, password=password)
    return password
