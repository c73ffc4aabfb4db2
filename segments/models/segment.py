"""Users' segments: RFM group, scores and risk profile."""

from datetime import datetime
from decimal import Decimal

from django.db import models
from django.db.models import Case, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from segments.models.change import SegmentChange
from segments.models.policy import RfmPolicy
from segments.models.run import RfmRun
from segments.rules.risk_profiles import RiskProfile
from segments.rules.scoring import recency_days


class UserSegmentQuerySet(models.QuerySet["UserSegment"]):
    """Queries with values that the rows do not hold."""

    def with_as_of(self) -> "UserSegmentQuerySet":
        """Annotate `as_of` (UTC) of the last run: the moment to which `recency_days` counts."""
        return self.annotate(as_of=Subquery(RfmRun.objects.done().values("as_of")[:1]))

    def with_group_at(self, moment: datetime) -> "UserSegmentQuerySet":
        """Annotate `group_then`, the group at a moment (UTC); without a row then, the group of lapsed users."""
        return self.annotate(group_then=_group_at(moment))


def _group_at(moment: datetime) -> Coalesce:
    """The `from_group` of the first later change; empty (no row yet) is the group of lapsed users."""
    own = SegmentChange.objects.after(moment).filter(user_id=OuterRef("user_id"))
    lapsed = Value(RfmPolicy.objects.active().group_rules[-1].name)
    before = own.values(before=Case(When(from_group="", then=lapsed), default="from_group"))
    return Coalesce(Subquery(before[:1]), F("rfm_group"))


class UserSegment(models.Model):
    """A user's RFM group, scores and risk profile.

    `frequency` and `monetary` are of the window; the lifetime figures, `first_action_at` and `last_action_at` are of
    all stored actions up to the last run's as_of.
    """

    user_id = models.BigIntegerField(primary_key=True)
    rfm_group = models.CharField(max_length=64, default="Low")
    risk_profile = models.CharField(max_length=16, choices=RiskProfile, default=RiskProfile.UNKNOWN)
    recency_score = models.SmallIntegerField(default=1)
    frequency_score = models.SmallIntegerField(default=1)
    monetary_score = models.SmallIntegerField(default=1)
    frequency = models.IntegerField(default=0)
    monetary = models.DecimalField(max_digits=20, decimal_places=2, default=Decimal("0.00"))
    lifetime_actions = models.BigIntegerField(default=0, db_default=0)
    lifetime_value = models.DecimalField(max_digits=20, decimal_places=2, default=Decimal("0.00"), db_default=0)
    first_action_at = models.DateTimeField(null=True, blank=True)
    last_action_at = models.DateTimeField(null=True, blank=True)
    last_updated = models.DateTimeField(default=timezone.now)

    objects = UserSegmentQuerySet.as_manager()

    class Meta:
        db_table = "user_segments"
        ordering = ["user_id"]

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.rfm_group}"

    @property
    def recency_days(self) -> int | None:
        """Whole days from the last action to the last run's as_of; None when lapsed.

        Not stored: otherwise each run would write every row because a day went by. Read it from a queryset
        `with_as_of()`; before the first run it counts to the row's own last change.
        """
        if self.last_action_at is None or not self.frequency:
            return None
        as_of: datetime | None = getattr(self, "as_of", None)
        return max(0, recency_days(self.last_action_at, as_of or self.last_updated))
