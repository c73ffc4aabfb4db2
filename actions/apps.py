"""Configuration of the actions app: actions of users and the outbox that publishes them."""

from django.apps import AppConfig


class ActionsConfig(AppConfig):
    name = "actions"

    def ready(self) -> None:
        """Connect the receivers; settings of Kafka that can never work stop the start."""
        from actions import receivers  # noqa: F401
        from actions.kafka.config import check_settings

        check_settings()
