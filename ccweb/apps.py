"""The composition root: it may import any app, no app imports it."""

from django.apps import AppConfig


class CcwebConfig(AppConfig):
    """Settings, URLs, checks, the staff overview and the processes."""

    name = "ccweb"
    verbose_name = "CC Webapp"

    def ready(self) -> None:
        """Register our system checks."""
        from ccweb import checks  # noqa: F401
