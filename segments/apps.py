"""The segments app."""

from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


class SegmentsConfig(AppConfig):
    """See the models for what segments are."""

    name = "segments"

    def ready(self) -> None:
        """Connect the receivers, and have each connection to Redis ask whether streaks may be missing there."""
        from ccweb.redis import client
        from segments import receivers, streaks  # noqa: F401

        client.ON_CONNECT.append(streaks.check_restart)
        post_migrate.connect(restore_first_revisions, sender=self)


def restore_first_revisions(apps: Apps = apps, **kwargs: Any) -> None:
    """After `migrate`, to whatever state of the models, and after `flush`: a database without revision 1 cannot answer.

    Migrations add it to a new database; `manage.py flush` (and every test with transactions of its own) empties it.
    """
    from segments.rules import first_revisions

    known = apps.all_models["segments"]
    for name, content in (("rfmpolicy", first_revisions.RFM), ("recommendationpolicy", first_revisions.RECOMMENDATION)):
        if name in known and not known[name]._default_manager.exists():
            known[name]._default_manager.create(revision=1, active=True, **content)
