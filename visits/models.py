"""Model of visits to the corporate site."""

from django.db import models
from django.utils import timezone

from ccweb.events.models import RecordedEvent


class SiteVisit(RecordedEvent):
    """One visit of a user to the corporate site, and the source that led them there."""

    TIME = "visit_timestamp"

    source = models.CharField(max_length=64)
    visit_timestamp = models.DateTimeField(default=timezone.now)
    # The prefix of the API key that sent it; null for what was imported, added by staff or sent without a key.
    recorded_by = models.CharField(max_length=8, null=True, editable=False)  # noqa: DJ001

    class Meta:
        db_table = "site_visits"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user_id", "visit_timestamp"], name="site_visits_user"),
            models.Index(
                fields=["visit_timestamp", "source"], name="site_visits_recent"
            ),  # for the counts of the admin's overview
        ]

    def __str__(self) -> str:
        return f"user {self.user_id} from {self.source}"
