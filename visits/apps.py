"""Configuration of the visits app: visits to the corporate site."""

from django.apps import AppConfig


class VisitsConfig(AppConfig):
    name = "visits"
