"""Half-empty pages, so that a run's updates stay on their page and touch no index."""

from django.db import migrations

from ccweb.db.migration_operations import PostgreSQLOnly


class Migration(migrations.Migration):
    dependencies = [("segments", "0003_rfm_policy_revision_1")]

    operations = [
        # SHARE UPDATE EXCLUSIVE: neither readers nor writers wait.
        PostgreSQLOnly(
            "ALTER TABLE user_segments SET (fillfactor = 50)",
            "ALTER TABLE user_segments RESET (fillfactor)",
        )
    ]
