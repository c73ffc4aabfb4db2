"""The risk profiles."""

from django.db import models


class RiskProfile(models.TextChoices):
    """How risky a user's play is; set by staff, never by the batch."""

    HIGH = "High-Risk"
    MODERATE = "Moderate-Risk"
    LOW = "Low-Risk"
    UNKNOWN = "Unknown"
