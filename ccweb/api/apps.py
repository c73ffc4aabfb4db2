"""The app `api`: API keys, and what every endpoint is made of. Every app may import it; it imports none."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """API keys, rate limits, strict input, pagination, errors."""

    name = "ccweb.api"
    label = "api"
    verbose_name = "API"

    def ready(self) -> None:
        """Import our extensions of drf-spectacular, which registers them on import."""
        from ccweb.api import openapi  # noqa: F401
