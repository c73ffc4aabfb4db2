"""The segments app."""

from django.apps import AppConfig


class SegmentsConfig(AppConfig):
    """See the models for what segments are."""

    name = "segments"
