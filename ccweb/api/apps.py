"""The leaf that every app may use and that imports no app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Errors, strict input, idempotent inserts, paging."""

    name = "ccweb.api"
    label = "api"
    verbose_name = "API"
