"""The history of users' groups."""

from datetime import datetime

from django.db import models

from segments.models.run import RfmRun


class SegmentChangeQuerySet(models.QuerySet["SegmentChange"]):
    """Queries by time."""

    def after(self, moment: datetime) -> "SegmentChangeQuerySet":
        """Changes later than a moment (UTC), oldest first. Filters by the few runs that ended since, by index."""
        return self.filter(run__in=RfmRun.objects.finished_after(moment), changed_at__gt=moment).order_by("id")


class SegmentChange(models.Model):
    """One user's change of group by one run.

    A user's first group is stored as a change from the empty group, unless it is the group of lapsed users: users
    without a row count as members of that group.
    """

    user_id = models.BigIntegerField()
    # No constraint in the database: checking it would cost the first run more than writing the rows.
    run = models.ForeignKey(RfmRun, models.PROTECT, db_constraint=False, related_name="changes")
    from_group = models.CharField(max_length=64, blank=True)
    to_group = models.CharField(max_length=64)
    changed_at = models.DateTimeField()

    objects = SegmentChangeQuerySet.as_manager()

    class Meta:
        db_table = "segment_changes"
        ordering = ["-id"]
        indexes = [models.Index(fields=["user_id", "id"], name="segment_changes_user")]

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.from_group or '-'} -> {self.to_group}"
