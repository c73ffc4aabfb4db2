"""The three groups of staff. A superuser may put people into them and change what they may do."""

from typing import Any

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

OURS = ("actions", "segments", "visits", "api", "django_apscheduler")
VIEWED = {
    "actions": ("useraction", "outboxmessage", "hourlycount"),
    "visits": ("sitevisit",),
    "segments": (
        "usersegment",
        "segmentchange",
        "riskchange",
        "rfmrun",
        "rfmpolicy",
        "recommendationpolicy",
        "killswitch",
    ),
    "django_apscheduler": ("djangojob", "djangojobexecution"),
}
MORE = {
    "viewer": [],
    # decides by which rules users are judged and answered
    "analyst": [
        ("segments", "change_usersegment"),
        ("segments", "add_rfmrun"),
        ("segments", "add_rfmpolicy"),
        ("segments", "add_recommendationpolicy"),
        ("segments", "add_killswitch"),
        ("segments", "change_killswitch"),
    ],
    # keeps it running
    "operator": [
        ("actions", "add_useraction"),
        ("actions", "change_outboxmessage"),
        ("segments", "add_rfmrun"),
        ("segments", "add_killswitch"),
        ("segments", "change_killswitch"),
    ],
}


def make_groups(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Permissions are otherwise made after all migrations; a group that exists keeps what it was given by hand."""
    for label in OURS:
        config: Any = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, apps=apps, verbosity=0, using=editor.connection.alias)
        config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(editor.connection.alias)
    viewed = [(label, f"view_{model}") for label, models in VIEWED.items() for model in models]
    for name, more in MORE.items():
        group, _ = apps.get_model("auth", "Group").objects.using(editor.connection.alias).get_or_create(name=name)
        for label, codename in viewed + more:
            group.permissions.add(permissions.get(content_type__app_label=label, codename=codename))


def keep_groups(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Going back leaves the groups: people are in them."""


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("actions", "0003_hourly_counts"),
        ("visits", "0001_site_visits"),
        ("segments", "0006_recommendation_policy_revision_1"),
        ("api", "0002_api_keys"),
        ("django_apscheduler", "0009_djangojobexecution_unique_job_executions"),
    ]

    operations = [migrations.RunPython(make_groups, keep_groups)]
