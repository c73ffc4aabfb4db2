"""T9: manage.py import_actions compared with COPY of the same rows into the same table."""

import tempfile
import time
from contextlib import closing
from pathlib import Path

import psycopg

from tests.benchmarks.figures import Measured, single
from tests.benchmarks.history import COLUMNS, vacuum, write_csv
from tests.benchmarks.rig import Rig
from tests.benchmarks.scale import Scale, print_progress

# received_at has no default in the database, which COPY needs.
RECEIVED = "ALTER TABLE user_actions ALTER COLUMN received_at SET DEFAULT now()"
COUNT = "SELECT count(*), count(DISTINCT user_id), sum(value), max(action_timestamp) FROM user_actions"


def import_rate(rig: Rig, scale: Scale) -> tuple[Measured, str]:
    """Rows per second relative to COPY, and the URL of the database with the imported actions."""
    ours, floor = rig.database("imported"), rig.database("copied")
    with tempfile.TemporaryDirectory() as folder:
        write_csv(floor, scale.lines, file := Path(folder, "actions.csv"))
        print_progress(f"import: {scale.lines} lines, {file.stat().st_size / 1e6:.0f} MB")
        copied = _copy(floor, file)
        print_progress(f"import: COPY took {copied:.1f} s")
        begin = time.perf_counter()
        summary = rig.ours(ours, redis_database=2).manage("import_actions", str(file), seconds=1800).stdout.strip()
        imported = time.perf_counter() - begin
    print_progress(f"{summary}, {imported:.1f} s")
    for url in (ours, floor):
        vacuum(url)
    _compare(ours, floor)
    return single(copied / imported), ours


def _copy(url: str, file: Path) -> float:
    with closing(psycopg.connect(url, autocommit=True)) as connection, connection.cursor() as cursor:
        cursor.execute(RECEIVED)
        begin = time.perf_counter()
        with (
            file.open("rb") as lines,
            cursor.copy(f"COPY user_actions ({COLUMNS}) FROM STDIN (FORMAT csv, HEADER)") as c,
        ):
            while block := lines.read(1 << 20):
                c.write(block)
        return time.perf_counter() - begin


def _compare(ours: str, floor: str) -> None:
    found = []
    for url in (ours, floor):
        with closing(psycopg.connect(url)) as connection:
            found.append(connection.execute(COUNT).fetchone())
    if found[0] != found[1]:
        raise RuntimeError(f"import_actions stored other rows than COPY: {found}")
