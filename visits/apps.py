"""The visits app."""

from django.apps import AppConfig


class VisitsConfig(AppConfig):
    """See the models for what visits are."""

    name = "visits"
