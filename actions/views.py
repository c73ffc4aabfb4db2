"""Views of /api/actions."""

from collections.abc import Sequence

from rest_framework import mixins

from actions.models import UserAction
from actions.recording import record_actions
from actions.serializers import ActionSerializer
from ccweb.api.filters import by_period, by_text, by_user
from ccweb.api.viewsets import StrictViewSet
from ccweb.events.idempotency import Event, Verdict
from ccweb.events.viewsets import RecordingMixin


class ActionViewSet(RecordingMixin, mixins.ListModelMixin, mixins.RetrieveModelMixin, StrictViewSet):
    """Record one action or a list of actions, and list actions in order of arrival, newest first."""

    queryset = UserAction.objects.all()
    serializer_class = ActionSerializer
    lookup_field = "event_id"
    takes_lists = True
    scopes = {"GET": "actions:read", "POST": "actions:write"}
    filters = {"user_id": by_user(), "action_type": by_text("action_type"), **by_period("action_timestamp")}

    def record(self, events: Sequence[Event]) -> list[Verdict]:
        return record_actions(actions=events)
