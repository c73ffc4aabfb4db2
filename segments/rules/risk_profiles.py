"""The risk profiles of users."""

from django.db import models


class RiskProfile(models.TextChoices):
    """How risky a user's play is. Set by staff or an API client, never by the RFM batch."""

    HIGH = "High-Risk"
    MODERATE = "Moderate-Risk"
    LOW = "Low-Risk"
    UNKNOWN = "Unknown"
