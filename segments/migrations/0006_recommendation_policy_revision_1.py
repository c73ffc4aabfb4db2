"""Revision 1: the original system's rules."""

from typing import Any

from django.db import migrations

# A copy: what this migration adds stays, whatever the code says later.
ALWAYS = {"streak_from": 0, "streak_to": None}
RECOMMENDATION: dict[str, Any] = {
    "rules": [
        {"group": "Whale", "risk_profile": "High-Risk", "probability": "0.75", "time_window": "next 2 hours"} | ALWAYS,
        {"group": "Medium", "risk_profile": "Low-Risk", "probability": "0.50", "time_window": "next 6 hours"} | ALWAYS,
        {"group": "Low", "risk_profile": None, "probability": "0.25", "time_window": "next 24 hours"} | ALWAYS,
    ],
    "streak_step": "0.01",
    "floor": "0.05",
    "cap": "0.95",
    "default_probability": "0.10",
    "default_time_window": "any time",
    "invariants": [],
    "note": "The original system's rules.",
}


def add(apps: Any, schema_editor: Any) -> None:
    # Created without a number, so that the sequence knows it is taken.
    apps.get_model("segments", "RecommendationPolicy").objects.create(active=True, **RECOMMENDATION)


class Migration(migrations.Migration):
    dependencies = [("segments", "0005_recommendation_policies")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
