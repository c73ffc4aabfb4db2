"""Revision 1: the original system's rules."""

from typing import Any

from django.db import migrations

from segments.first_revisions import RECOMMENDATION


def add(apps: Any, schema_editor: Any) -> None:
    # Created without a number, so that the sequence knows it is taken.
    apps.get_model("segments", "RecommendationPolicy").objects.create(active=True, **RECOMMENDATION)


class Migration(migrations.Migration):
    dependencies = [("segments", "0005_recommendation_policies")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
