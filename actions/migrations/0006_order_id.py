"""The order that an action belongs to. A column without a default: no row is rewritten."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("actions", "0005_recorded_by")]

    operations = [
        migrations.AddField(
            model_name="useraction",
            name="order_id",
            field=models.CharField(
                blank=True,
                default=None,
                help_text="The order that the action belongs to: its actions may count as one for frequency.",
                max_length=64,
                null=True,
            ),
        ),
    ]
