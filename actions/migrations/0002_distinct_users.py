"""Tell PostgreSQL that there are many users: its own estimate from a sample is several times too low.

With too low an estimate the RFM aggregate is planned for a small hash table, and spills.
"""

from django.db import migrations

from ccweb.db.migration_operations import PostgreSQLOnly


class Migration(migrations.Migration):
    dependencies = [("actions", "0001_user_actions_and_outbox")]

    operations = [
        # A share of the rows; counts from the next ANALYZE on. SHARE UPDATE EXCLUSIVE: nobody waits.
        PostgreSQLOnly(
            "ALTER TABLE user_actions ALTER COLUMN user_id SET (n_distinct = -0.05)",
            "ALTER TABLE user_actions ALTER COLUMN user_id RESET (n_distinct)",
        )
    ]
