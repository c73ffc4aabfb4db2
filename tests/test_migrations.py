"""Every migration is safe while the previous release serves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations import (
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    DeleteModel,
    RemoveField,
    RemoveIndex,
    RenameField,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

from ccweb.db.migration_operations import AddIndexOnline, RemoveIndexOnline

OURS = {"ccweb", "api", "actions", "segments", "visits"}
BREAKING = (RemoveField, RenameField, DeleteModel)  # the previous release still uses what they take away
LOCKING = (AlterField, AddIndex, RemoveIndex)  # on a table that has rows


def operations() -> list[tuple[str, Operation, set[str]]]:
    """Each operation with the models that its own migration makes, which nobody uses yet."""
    found = []
    loader = MigrationLoader(None, ignore_no_migrations=True)
    for (app, name), migration in sorted(loader.disk_migrations.items()):
        if app in OURS:
            new = {op.name.lower() for op in migration.operations if isinstance(op, CreateModel)}
            found += [(f"{app}.{name}", operation, new) for operation in migration.operations]
    return found


@pytest.mark.parametrize(("name", "operation", "new"), operations(), ids=lambda part: part if type(part) is str else "")
def test_an_operation_takes_nothing_away_and_locks_nothing(name: str, operation: Operation, new: set[str]) -> None:
    model = str(getattr(operation, "model_name", "")).lower()
    assert not isinstance(operation, BREAKING), f"{name}: take it away one release after the last use"
    if model not in new:
        online = isinstance(operation, AddIndexOnline | RemoveIndexOnline)
        assert online or not isinstance(operation, LOCKING), (
            f"{name}: use ccweb.db.migration_operations, or a new column"
        )
        if isinstance(operation, AddField):
            assert operation.field.null or operation.field.has_db_default(), (
                f"{name}: old inserts do not know the column"
            )


def test_every_migration_can_be_undone_or_says_that_it_changes_nothing_lasting() -> None:
    assert [name for name, operation, _ in operations() if not operation.reversible] == []


def test_migrations_have_descriptive_names() -> None:
    names = [path.stem for path in Path(__file__).parents[1].glob("*/migrations/0*.py")]
    assert names
    assert [name for name in names if "auto" in name or "alter" in name] == []


@pytest.fixture
def migrated_in_the_end(transactional_db: None) -> Iterator[None]:
    yield
    call_command("migrate", "actions", verbosity=0)


@pytest.mark.usefixtures("migrated_in_the_end")
@pytest.mark.parametrize(
    ("target", "name", "gone"),
    [
        ("0003", "user_actions_rfm", "user_actions_rfm_cents"),
        ("0004", "user_actions_rfm_cents", "user_actions_rfm"),
    ],
)
def test_half_an_index_that_an_interrupted_migration_left_is_made_again(target: str, name: str, gone: str) -> None:
    call_command("migrate", "actions", "0004" if target == "0003" else "0003", verbosity=0)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE INDEX {name} ON user_actions (user_id)")
            cursor.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")
    call_command("migrate", "actions", target, verbosity=0)
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "user_actions")
    assert gone not in found
    assert found[name]["columns"][:2] == ["user_id", "action_timestamp"]
