"""Revision 1: the original system's cut points and groups."""

from typing import Any

from django.db import migrations

# A copy: what this migration adds stays, whatever the code says later.
RFM: dict[str, Any] = {
    "kind": "fixed",
    "recency_cuts": [30, 30, 7, 7],
    "frequency_cuts": [3, 3, 10, 10],
    "monetary_cuts": ["20", "20", "100", "100"],
    "rules": [
        {"name": "Whale", "recency": 4, "frequency": 4, "monetary": 4},
        {"name": "Medium", "recency": 3, "frequency": 3, "monetary": 1},
        {"name": "Low", "recency": 1, "frequency": 1, "monetary": 1},
    ],
    "note": "The original system's rules.",
}


def add(apps: Any, schema_editor: Any) -> None:
    # Created without a number, so that the sequence knows it is taken.
    apps.get_model("segments", "RfmPolicy").objects.create(active=True, **RFM)


class Migration(migrations.Migration):
    dependencies = [("segments", "0002_rfm_policies_runs_and_changes")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
