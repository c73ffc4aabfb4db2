"""The changes of a run lie together: their index need not have an entry for each, which slowed down large runs."""

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.db import migrations, models

from ccweb.api.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False  # so that runs go on meanwhile
    dependencies = [("segments", "0007_scores_of_runs")]

    operations = [
        AddIndexOnline(
            "segmentchange", django.contrib.postgres.indexes.BrinIndex(fields=["run"], name="segment_changes_run")
        ),
        migrations.AlterField(
            "segmentchange",
            "run",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="changes",
                to="segments.rfmrun",
            ),
        ),
    ]
