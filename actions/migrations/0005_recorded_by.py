"""The prefix of the API key that sent each action: null for rows from before, so the table is not rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("actions", "0004_cents_in_the_index")]

    operations = [
        migrations.AddField("useraction", "recorded_by", models.CharField(editable=False, max_length=8, null=True)),
    ]
