"""Runs of the RFM batch, from the request to the result."""

from datetime import datetime

from django.db import models
from django.utils import timezone

from segments.models.policy import RfmPolicy


class RfmRunQuerySet(models.QuerySet["RfmRun"]):
    """Queries by status and time."""

    def done(self) -> "RfmRunQuerySet":
        """Committed runs, newest first."""
        return self.filter(status=RfmRun.Status.DONE).order_by("-finished_at", "-id")

    def requested(self) -> "RfmRunQuerySet":
        """Runs that wait for the scheduler, oldest request first."""
        return self.filter(status=RfmRun.Status.REQUESTED).order_by("id")

    def running(self) -> "RfmRunQuerySet":
        """Runs in progress, or left in this status by a process that was killed."""
        return self.filter(status=RfmRun.Status.RUNNING)

    def finished_after(self, moment: datetime) -> "RfmRunQuerySet":
        """Runs that ended later than a moment (UTC)."""
        return self.filter(finished_at__gt=moment)

    def finished_by(self, moment: datetime) -> "RfmRunQuerySet":
        """Runs that ended at a moment (UTC) or earlier."""
        return self.filter(finished_at__lte=moment)


class RfmRun(models.Model):
    """One run: its request, the policy and cut points it used, and its result."""

    class Kind(models.TextChoices):
        """What started the run: the clock (02:00 UTC), the start of the scheduler, a command, staff in the admin."""

        DAILY = "daily", "Daily"
        STARTUP = "startup", "Start-up"
        MANUAL = "manual", "Manual"
        REQUESTED = "requested", "Requested"

    class Status(models.TextChoices):
        REQUESTED = "requested"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    kind = models.CharField(max_length=9, choices=Kind)
    status = models.CharField(max_length=9, choices=Status, default=Status.RUNNING)
    as_of = models.DateTimeField(
        null=True, blank=True, help_text="UTC. Actions after this moment are ignored. Empty until the run starts."
    )
    policy = models.ForeignKey(
        RfmPolicy, models.PROTECT, null=True, blank=True, help_text="The active policy if empty."
    )
    cuts = models.JSONField(default=dict, help_text="The cut points used: recency, frequency, monetary.")
    requested_at = models.DateTimeField(default=timezone.now)
    requested_by = models.CharField(max_length=150, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    users = models.BigIntegerField(null=True, blank=True, help_text="Users with a row.")
    active = models.BigIntegerField(null=True, blank=True, help_text="Users with activity in the window.")
    changed = models.BigIntegerField(null=True, blank=True, help_text="Rows written, new ones included.")
    lapsed = models.BigIntegerField(null=True, blank=True, help_text="Users whose last activity left the window.")
    groups = models.JSONField(default=dict, help_text="Users by group, best group first.")
    scores = models.JSONField(
        null=True, editable=False, help_text="Users by score: [recency, frequency, users], empty places left out."
    )
    error = models.CharField(max_length=1000, blank=True)
    seen_action_id = models.BigIntegerField(
        null=True, editable=False, help_text="All actions up to this id (and as_of) are in the rows."
    )

    objects = RfmRunQuerySet.as_manager()

    class Meta:
        db_table = "rfm_runs"
        ordering = ["-id"]
        verbose_name = "RFM run"
        constraints = [
            models.UniqueConstraint(
                fields=["as_of"],
                condition=models.Q(kind="daily", status__in=["running", "done"]),
                name="rfm_runs_one_daily",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} run {self.pk}" + (f" as of {self.as_of:%Y-%m-%d %H:%M}" if self.as_of else "")
