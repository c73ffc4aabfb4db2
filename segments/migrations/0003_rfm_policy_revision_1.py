"""Revision 1: the original system's cut points and groups."""

from typing import Any

from django.db import migrations

from segments.first_revisions import RFM


def add(apps: Any, schema_editor: Any) -> None:
    # Created without a number, so that the sequence knows it is taken.
    apps.get_model("segments", "RfmPolicy").objects.create(active=True, **RFM)


class Migration(migrations.Migration):
    dependencies = [("segments", "0002_rfm_policies_runs_and_changes")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
