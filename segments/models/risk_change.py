"""The history of users' risk profiles."""

from django.db import models
from django.utils import timezone


class RiskChange(models.Model):
    """One user's change of risk profile by staff or a client of the API."""

    user_id = models.BigIntegerField()
    from_profile = models.CharField(max_length=16)
    to_profile = models.CharField(max_length=16)
    changed_by = models.CharField(max_length=150, help_text="User name of the staff, or the API key's name.")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "risk_changes"
        ordering = ["-id"]
        indexes = [models.Index(fields=["user_id", "id"], name="risk_changes_user")]

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.from_profile} -> {self.to_profile}"
