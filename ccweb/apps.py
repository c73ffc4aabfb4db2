"""The app `ccweb`, the composition root: it may import every app; no app imports it."""

from django.apps import AppConfig


class CcwebConfig(AppConfig):
    """Settings, URLs, system checks, staff pages and processes."""

    name = "ccweb"
    verbose_name = "CC Webapp"

    def ready(self) -> None:
        """Register the system checks, and take the secrets of second factors out of the admin."""
        from ccweb import checks, network_checks  # noqa: F401
        from ccweb.staff.second_factor import hide_devices

        hide_devices()
