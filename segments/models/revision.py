"""Policies as immutable revisions, of which a constraint keeps at most one active."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone

R = TypeVar("R", bound="Revision")


class RevisionQuerySet(models.QuerySet[R]):
    """Queries of one policy's revisions."""

    def active(self) -> R:
        """The active revision. Raises DoesNotExist when it was deleted by hand."""
        return self.get(active=True)

    def publish(self, *, check: Callable[[R], None] | None = None, **content: Any) -> R:
        """Add a revision and put it in force in one transaction; ValidationError, by field, when it makes no sense.

        The only place that checks content before it is stored. `check` looks at what is well-formed, and may raise
        ValidationError too.
        """
        revision = self.model(**content, active=True)
        revision.clean_fields()
        revision.clean()
        if check:
            check(revision)
        with transaction.atomic():
            # All publishers lock the oldest row: the active row changes while they wait.
            self.select_for_update().order_by("pk").first()
            self.filter(active=True).update(active=False)
            revision.save(force_insert=True)
        return revision


class Revision(models.Model):
    """The common fields of revisions; subclasses add the content. After the insert only `active` changes."""

    revision = models.AutoField(primary_key=True)
    active = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=150, blank=True, editable=False, help_text="User name of the author.")
    note = models.CharField(max_length=300, blank=True, help_text="Reason (shown in the history).")

    class Meta:
        abstract = True
        ordering = ["-revision"]
        constraints = [
            models.UniqueConstraint(
                fields=["active"], condition=models.Q(active=True), name="%(app_label)s_%(class)s_one_active"
            )
        ]

    def __str__(self) -> str:
        return f"revision {self.revision}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert a new revision. Raises ValidationError for one that is stored already."""
        if not self._state.adding:
            raise ValidationError(f"{self._meta.verbose_name} {self.revision} is never edited: publish a new revision.")
        super().save(*args, **kwargs)
