"""The configuration of the segments app."""

from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class SegmentsConfig(AppConfig):
    """Users' RFM segments, streaks and recommendations."""

    name = "segments"

    def ready(self) -> None:
        """Connect the receivers, and check on each new connection to Redis whether it may have lost streaks."""
        from ccweb.redis import client
        from segments import receivers, streaks  # noqa: F401

        client.ON_CONNECT.append(streaks.check_restart)
        post_migrate.connect(restore_first_revisions, sender=self)


def restore_first_revisions(apps: Apps = apps, **kwargs: Any) -> None:
    """Create revision 1 of each policy where a policy has none: without an active revision the app cannot answer.

    Runs after `migrate`, in any state of the models, and after `flush`. Migrations add revision 1 to a new database;
    `manage.py flush` and each test with real transactions delete it.
    """
    from segments.rules import first_revisions

    known = apps.all_models["segments"]
    for name, content in (("rfmpolicy", first_revisions.RFM), ("recommendationpolicy", first_revisions.RECOMMENDATION)):
        if name in known and not known[name]._default_manager.exists():
            fields = {field.name for field in known[name]._meta.fields}
            there = {field: value for field, value in content.items() if field in fields}
            known[name]._default_manager.create(revision=1, active=True, **there)
