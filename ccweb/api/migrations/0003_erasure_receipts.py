from uuid import uuid4

from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [("api", "0002_api_keys")]

    operations = [
        migrations.AddField("ErasedUser", "counts", models.JSONField(null=True)),
        migrations.SeparateDatabaseAndState(  # a default of Python, which the table does not hold
            state_operations=[
                migrations.AlterField("ErasedUser", "erased_at", models.DateTimeField(default=timezone.now))
            ]
        ),
        migrations.CreateModel(
            name="DatabaseRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("deployment", models.UUIDField(default=uuid4)),
                ("identity", models.CharField(max_length=64)),
                (
                    "how",
                    models.CharField(
                        choices=[
                            ("new", "First start, or without users"),
                            ("replayed", "Erasures were replayed"),
                            ("waived", "Replay of erasures waived"),
                            ("set back", "Set back: it lacks erasures that Kafka has"),
                        ],
                        max_length=16,
                    ),
                ),
                ("note", models.TextField(default="")),
                ("recorded_at", models.DateTimeField(default=timezone.now)),
            ],
            options={"db_table": "database_records", "ordering": ["-id"]},
        ),
    ]
