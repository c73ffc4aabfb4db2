"""Configuration of the actions app: actions of users and the outbox that publishes them."""

from django.apps import AppConfig


class ActionsConfig(AppConfig):
    name = "actions"

    def ready(self) -> None:
        from actions import receivers  # noqa: F401
