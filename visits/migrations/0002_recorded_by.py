"""The prefix of the API key that sent each visit: null for rows from before, so the table is not rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("visits", "0001_site_visits")]

    operations = [
        migrations.AddField("sitevisit", "recorded_by", models.CharField(editable=False, max_length=8, null=True)),
    ]
