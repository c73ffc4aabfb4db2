"""/api/user-segments"""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from ccweb.api.filtering import by_choice, by_text
from ccweb.api.views import StrictViewSet
from segments.models import RiskProfile, UserSegment
from segments.recommendations import recommend
from segments.risk import set_risk_profile
from segments.serializers import RecommendationSerializer, SegmentSerializer


class UserSegmentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, StrictViewSet):
    """Where users stand; staff set their risk profile."""

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
        """Set the risk profile; a user without a segment gets one."""
        cleaned = self.get_serializer().run_validation(request.data)
        set_risk_profile(user_ids=[user_id], by=getattr(request.auth, "name", "API"), **cleaned)
        return self.retrieve(request, user_id=user_id)


class RecommendationViewSet(StrictViewSet):
    """What to offer a user now, and why."""

    serializer_class = RecommendationSerializer
    scopes = {"GET": "segments:read"}

    @extend_schema(responses=RecommendationSerializer)
    def retrieve(self, request: Request, user_id: int) -> Response:
        """200 for every user_id: who has no segment yet counts as Low / Unknown."""
        return Response(recommend(user_id).as_json())
