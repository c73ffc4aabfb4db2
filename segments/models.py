"""Where a user stands."""

from decimal import Decimal

from django.db import models
from django.utils import timezone


class RiskProfile(models.TextChoices):
    """How risky a user's play is; set by staff, never by the batch."""

    HIGH = "High-Risk"
    MODERATE = "Moderate-Risk"
    LOW = "Low-Risk"
    UNKNOWN = "Unknown"


class UserSegment(models.Model):
    """A user's RFM group, scores and risk profile."""

    user_id = models.BigIntegerField(primary_key=True)
    rfm_group = models.CharField(max_length=64, default="Low")
    risk_profile = models.CharField(max_length=16, choices=RiskProfile, default=RiskProfile.UNKNOWN)
    recency_score = models.SmallIntegerField(default=1)
    frequency_score = models.SmallIntegerField(default=1)
    monetary_score = models.SmallIntegerField(default=1)
    frequency = models.IntegerField(default=0)
    monetary = models.DecimalField(max_digits=20, decimal_places=2, default=Decimal("0.00"))
    last_action_at = models.DateTimeField(null=True, blank=True)
    last_updated = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "user_segments"
        ordering = ["user_id"]

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.rfm_group}"
