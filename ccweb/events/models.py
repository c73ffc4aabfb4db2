"""The base of events that are saved as models, in the admin and the shell: they obey the rules of the API."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connection, models, transaction
from rest_framework.exceptions import ValidationError as InvalidInput

from ccweb.api.event_ids import NO_EVENT, is_nil_or_max
from ccweb.api.instants import check_bounds
from ccweb.api.user_ids import MAX_USER_ID
from ccweb.events.erasure import UserErased, erased_among, erased_among_many, hold_off_erasures
from ccweb.events.event_ids import new_event_id


class EventQuerySet(models.QuerySet):
    """Queries of events."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As Django's, which neither validates nor publishes. Raises UserErased, with nothing stored."""
        events = list(objs)
        with transaction.atomic():
            hold_off_erasures(self.model)
            if erased_among_many({event.user_id for event in events}):
                raise UserErased
            return super().bulk_create(events, *args, **kwargs)


class RecordedEvent(models.Model):
    """An event of a user, stored once and never changed. The web application assigns user_id."""

    event_id = models.UUIDField(unique=True, default=new_event_id)
    user_id = models.BigIntegerField(validators=[MinValueValidator(1), MaxValueValidator(MAX_USER_ID)])

    TIME: ClassVar[str]  # the field that says when it happened

    objects = EventQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new event, in one transaction with what the receivers of post_save write.

        Raises ValidationError for an invalid event, an erased user, or an event that is already stored.
        """
        if not self._state.adding:
            raise ValidationError(f"A stored {self._meta.verbose_name} is never changed.")
        with transaction.atomic():
            self.full_clean()
            super().save(*args, force_insert=True, **{k: v for k, v in kwargs.items() if k == "using"})

    def clean(self) -> None:
        """Raises ValidationError for an erased user, and for an event_id or instant that the API would refuse.

        In a transaction, as in the admin's, the user stays as they are until its end.
        """
        errors: dict[str, str] = {}
        if is_nil_or_max(str(self.event_id)):
            errors["event_id"] = NO_EVENT
        if connection.in_atomic_block:
            hold_off_erasures(type(self))
        if self.user_id is not None and erased_among([self.user_id]):
            errors["user_id"] = str(UserErased())
        if (instant := getattr(self, self.TIME)) is not None:
            try:
                check_bounds(instant)
            except InvalidInput as error:
                errors[self.TIME] = str(error.detail[0])  # type: ignore[index]  # a list for a text
        if errors:
            raise ValidationError(errors)
