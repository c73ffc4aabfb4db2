"""Refuses to work on a restored database until the erasures since its backup were replayed, or that is waived.

A restored dump is another database: its identity differs from the recorded one. Standbys keep the identity, so that a
failover stops nothing; a physical restore keeps it too, and is recognised by the relay, which finds erasures in Kafka
that the database lacks (actions/relay/set_back.py). PostgreSQL only: SQLite serves development, where files are copied.
"""

from datetime import datetime

from django.apps import apps as installed
from django.apps.registry import Apps
from django.db import connection, models

from ccweb.api.models import DatabaseRecord
from ccweb.db.identity import database_identity

How = DatabaseRecord.How
ADVICE = (
    "Erased users may have come back. Run manage.py replay_erasures --from-kafka (or FILE, or --waive REASON), then "
    "start again; see docs/operations.md, Backup and restore."
)


class RestoredDatabase(Exception):
    """The database was restored and the erasures since its backup were not replayed; the message says what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}. {ADVICE}")


def refuse_restored() -> None:
    """Raise RestoredDatabase if this is one. A database that holds no user takes its identity now.

    Raises DatabaseError when the database does not answer, or before it is migrated.
    """
    if connection.vendor != "postgresql":
        return
    adopt_new()
    newest, identity = DatabaseRecord.objects.first(), database_identity()
    if newest is not None and newest.how == How.SET_BACK:
        raise RestoredDatabase(newest.note)
    if newest is not None and newest.identity != identity:
        raise RestoredDatabase(f"This database ({identity}) is a restored copy of another one ({newest.identity})")


def adopt_new(apps: Apps = installed, **kwargs: object) -> None:
    """Record the identity of a database that has no record yet, or no user. Runs after `migrate` and `flush`."""
    if connection.vendor != "postgresql" or "databaserecord" not in apps.all_models["api"]:
        return
    newest, identity = DatabaseRecord.objects.first(), database_identity()
    if newest is None or (newest.identity != identity and not _has_users(apps)):
        DatabaseRecord.objects.create(identity=identity, how=How.NEW)


def record(how: DatabaseRecord.How, note: str) -> None:
    """Record a decision about this database."""
    newest = DatabaseRecord.objects.first()
    same = {"deployment": newest.deployment} if newest else {}
    DatabaseRecord.objects.create(identity=database_identity(), how=how, note=note, **same)


def deployment() -> str:
    """What tells the data of this deployment, and copies of it, from those of others; empty on SQLite."""
    newest = DatabaseRecord.objects.first()
    return newest.deployment.hex if newest else ""


def waived_at() -> datetime | None:
    """When the replay was last waived; erasures before that are not asked for again."""
    waived = DatabaseRecord.objects.filter(how=How.WAIVED).first()
    return waived.recorded_at if waived else None


def _has_users(apps: Apps) -> bool:
    """Whether any table holds a user of the web application: a plain number named user_id."""
    return any(
        model._default_manager.exists()
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.attname == "user_id" and not isinstance(field, models.ForeignKey)
    )
