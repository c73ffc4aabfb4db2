"""The app `ccweb`, the composition root: it may import every app; no app imports it."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class CcwebConfig(AppConfig):
    """Settings, URLs, system checks, staff pages and processes."""

    name = "ccweb"
    verbose_name = "CC Webapp"

    def ready(self) -> None:
        """Register the checks, the log of sign-ins and the record of new databases; hide the secrets of devices."""
        from ccweb import checks, network_checks  # noqa: F401
        from ccweb.admin import sign_ins  # noqa: F401
        from ccweb.api.restored import adopt_new
        from ccweb.staff.second_factor import hide_devices

        post_migrate.connect(adopt_new, sender=apps.get_app_config("api"))
        hide_devices()
