"""The leaf that every app may use and that imports no app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Keys, limits, strict input, pages, errors."""

    name = "ccweb.api"
    label = "api"
    verbose_name = "API"

    def ready(self) -> None:
        """Tell drf-spectacular what we add to OpenAPI; it finds extensions by their being imported."""
        from ccweb.api import openapi  # noqa: F401
