"""Revision 1: the original system's rules."""

from typing import Any

from django.db import migrations


def rule(group: str, risk_profile: str | None, probability: str, time_window: str) -> dict[str, Any]:
    return {
        "group": group,
        "risk_profile": risk_profile,
        "streak_from": 0,
        "streak_to": None,
        "probability": probability,
        "time_window": time_window,
    }


REVISION_1 = {
    "active": True,
    "rules": [
        rule("Whale", "High-Risk", "0.75", "next 2 hours"),
        rule("Medium", "Low-Risk", "0.50", "next 6 hours"),
        rule("Low", None, "0.25", "next 24 hours"),
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
    apps.get_model("segments", "RecommendationPolicy").objects.create(**REVISION_1)


class Migration(migrations.Migration):
    dependencies = [("segments", "0005_recommendation_policies")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
