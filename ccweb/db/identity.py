"""Which database this is: two deployments differ, and so does a copy that was restored elsewhere."""

from pathlib import Path

from django.db import connection

POSTGRESQL = """SELECT (SELECT system_identifier FROM pg_control_system()),
    (SELECT oid FROM pg_database WHERE datname = current_database())"""


def database_identity() -> str:
    """PostgreSQL's system identifier and the database's oid, joined by "-"; on SQLite the device and inode of its file.

    The same on a server and its physical standbys. A dump that is restored into another server or database gets
    another one; a physical backup keeps it. In-memory SQLite databases are all "memory". Raises DatabaseError.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(POSTGRESQL)
            system_identifier, oid = cursor.fetchone()
        return f"{system_identifier}-{oid}"
    file = Path(str(connection.settings_dict["NAME"]))
    if not file.exists():
        return "memory"
    status = file.stat()
    return f"{status.st_dev}-{status.st_ino}"
