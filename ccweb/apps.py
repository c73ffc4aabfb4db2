"""The app `ccweb`, the composition root: it may import every app; no app imports it."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class CcwebConfig(AppConfig):
    """Settings, URLs, system checks, staff pages and processes."""

    name = "ccweb"
    verbose_name = "CC Webapp"

    def ready(self) -> None:
        """Register the system checks and what logs attempts to sign in; record which database a new one is."""
        from ccweb import checks  # noqa: F401
        from ccweb.admin import sign_ins  # noqa: F401
        from ccweb.api.restored import adopt_new

        post_migrate.connect(adopt_new, sender=apps.get_app_config("api"))
