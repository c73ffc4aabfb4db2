"""The viewsets of /api/user-segments."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from ccweb.api.filters import by_choice, by_text
from ccweb.api.problems import Gone
from ccweb.api.viewsets import StrictViewSet
from segments.forecasts.outlook import outlook_of
from segments.models import RiskProfile, SegmentChange, UserSegment
from segments.recommendations.recommend import recommend
from segments.recommendations.risk_profiles import set_risk_profile
from segments.rfm import clock
from segments.serializers import ChangeSerializer, OutlookSerializer, RecommendationSerializer, SegmentSerializer


class UserSegmentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, StrictViewSet):
    """Users' segments: group, scores and risk profile. Only the risk profile can be set."""

    queryset = UserSegment.objects.with_as_of()
    serializer_class = SegmentSerializer
    lookup_field = "user_id"
    scopes = {"GET": "segments:read", "PATCH": "segments:write"}
    filters = {"rfm_group": by_text("rfm_group"), "risk_profile": by_choice("risk_profile", RiskProfile.values)}
    orderings = (
        *("user_id", "rfm_group", "risk_profile", "recency_score", "frequency_score", "monetary_score"),
        *("frequency", "monetary", "last_updated"),
    )

    def partial_update(self, request: Request, user_id: int) -> Response:
        """Set the risk profile. A user without a segment gets one."""
        cleaned = self.get_serializer().run_validation(request.data)
        if set_risk_profile(user_ids=[user_id], by=getattr(request.auth, "name", "API"), **cleaned).erased:
            raise Gone
        return self.retrieve(request, user_id=user_id)


class RecommendationViewSet(StrictViewSet):
    """The reward that is recommended for a user now, and the reason."""

    serializer_class = RecommendationSerializer
    scopes = {"GET": "segments:read"}

    @extend_schema(responses=RecommendationSerializer)
    def retrieve(self, request: Request, user_id: int) -> Response:
        """200 for every user_id: users without a segment are treated as the last group, Unknown."""
        return Response(recommend(user_id).as_json())


class OutlookViewSet(StrictViewSet):
    """When a user leaves the group without further actions, and the least actions to stay or reach a better group."""

    serializer_class = OutlookSerializer
    scopes = {"GET": "segments:read"}

    def retrieve(self, request: Request, user_id: int) -> Response:
        """200 for every user_id: a user without actions is in the same group as a lapsed user."""
        outlook = outlook_of(user_id=user_id, now=clock.present())
        return Response(self.get_serializer({"user_id": user_id, **outlook._asdict()}).data)


class HistoryViewSet(mixins.ListModelMixin, StrictViewSet):
    """A user's changes of group, newest first."""

    queryset = SegmentChange.objects.all()
    serializer_class = ChangeSerializer
    scopes = {"GET": "segments:read"}

    def get_queryset(self) -> QuerySet[SegmentChange]:
        """The changes of one user; none before the first run that includes the user."""
        return super().get_queryset().filter(user_id=self.kwargs["user_id"])
