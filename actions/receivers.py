"""Signal receiver: queues and announces a UserAction that the admin or the shell saved, as the API does."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from actions.models import UserAction
from actions.outbox import queue_messages
from actions.recording import announce
from ccweb.db.steps import run
from ccweb.request.origin import origin


@receiver(post_save, sender=UserAction)
def queue_saved_action(instance: UserAction, created: bool, **kwargs: Any) -> None:
    """Write the outbox row inside the transaction that UserAction.save opened."""
    if created:
        action = {field.attname: getattr(instance, field.attname) for field in UserAction._meta.concrete_fields}
        action["origin"] = origin.get()
        queue_messages([action])
        run(announce([action]))
