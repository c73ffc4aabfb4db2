"""Migration operations that differ between PostgreSQL and SQLite."""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db.migrations.operations import AddIndex, RemoveIndex, RunSQL


class PostgreSQLOnly(RunSQL):
    """SQL for PostgreSQL, nothing on SQLite."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class AddIndexOnline(AddIndexConcurrently):
    """Adds an index without blocking writes on PostgreSQL, a plain one on SQLite. Its migration is not atomic."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create the index, unless an interrupted migration has created it."""
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
        elif schema_editor.collect_sql or not _is_whole(schema_editor, self.index.name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        base = AddIndexConcurrently if schema_editor.connection.vendor == "postgresql" else AddIndex
        base.database_backwards(self, app_label, schema_editor, from_state, to_state)


class RemoveIndexOnline(RemoveIndexConcurrently):
    """Removes an index without blocking writes on PostgreSQL. Its migration is not atomic."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        base = RemoveIndexConcurrently if schema_editor.connection.vendor == "postgresql" else RemoveIndex
        base.database_forwards(self, app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create the index again, unless an interrupted migration has created it."""
        if schema_editor.connection.vendor != "postgresql":
            RemoveIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
        elif schema_editor.collect_sql or not _is_whole(schema_editor, self.name):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


def _is_whole(schema_editor: Any, name: str) -> bool:
    """Whether the index exists and is valid; an invalid one, left by an interrupted migration, is dropped."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
        found = cursor.fetchone()
    if found == (False,):
        schema_editor.execute(f'DROP INDEX CONCURRENTLY "{name}"')
    return bool(found == (True,))
