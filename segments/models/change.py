"""Who moved from which group to which, and when."""

from django.db import models

from segments.models.run import RfmRun


class SegmentChange(models.Model):
    """One user's change of group by one run. A first appearance is a change from the empty group."""

    user_id = models.BigIntegerField()
    # No constraint in the database: its check of every row would cost the first run more than the rows do.
    run = models.ForeignKey(RfmRun, models.PROTECT, db_constraint=False, related_name="changes")
    from_group = models.CharField(max_length=64, blank=True)
    to_group = models.CharField(max_length=64)
    changed_at = models.DateTimeField()

    class Meta:
        db_table = "segment_changes"
        ordering = ["-id"]
        indexes = [models.Index(fields=["user_id", "id"], name="segment_changes_user")]

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.from_group or '-'} -> {self.to_group}"
