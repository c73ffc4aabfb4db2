"""Views of /api/notify/site_visit and /api/site-visits."""

from collections.abc import Sequence

from rest_framework import mixins

from ccweb.api.filters import by_period, by_text, by_user
from ccweb.api.viewsets import StrictViewSet
from ccweb.events.idempotency import Event, Verdict
from ccweb.events.viewsets import RecordingMixin
from visits.models import SiteVisit
from visits.recording import record_visits
from visits.serializers import VisitSerializer


class VisitViewSet(RecordingMixin, mixins.ListModelMixin, StrictViewSet):
    """Record a visit, and list visits in order of arrival, newest first."""

    queryset = SiteVisit.objects.all()
    serializer_class = VisitSerializer
    scopes = {"GET": "visits:read", "POST": "visits:write"}
    filters = {"user_id": by_user(), "source": by_text("source"), **by_period("visit_timestamp")}

    def record(self, events: Sequence[Event]) -> list[Verdict]:
        return record_visits(visits=events)
