"""The actions app."""

from django.apps import AppConfig


class ActionsConfig(AppConfig):
    """See the models for what actions are."""

    name = "actions"

    def ready(self) -> None:
        """Connect the receivers."""
        from actions import receivers  # noqa: F401
