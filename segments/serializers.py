"""The serializers of segments, recommendations, outlooks and changes of group."""

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from ccweb.api.fields import InstantField, StrictField, UserIdField, ValueField
from ccweb.api.serializers import StrictSerializer
from segments.models import RiskProfile, SegmentChange


class RiskProfileField(StrictField):
    """One of the four risk profiles, case-sensitive."""

    openapi = {"type": "string", "enum": RiskProfile.values}

    def clean(self, data: object) -> str:
        if type(data) is not str or data not in RiskProfile.values:
            raise ValidationError(f"It must be one of {', '.join(RiskProfile.values)}.", code="choice")
        return data

    def to_representation(self, value: str) -> str:
        return value


@extend_schema_serializer(examples=[OpenApiExample("By hand", {"risk_profile": "High-Risk"}, request_only=True)])
class SegmentSerializer(StrictSerializer):
    """A user's group, scores and risk profile. Only the risk profile can be set."""

    user_id = UserIdField(read_only=True)
    rfm_group = serializers.CharField(read_only=True)
    risk_profile = RiskProfileField()
    recency_score = serializers.IntegerField(read_only=True)
    frequency_score = serializers.IntegerField(read_only=True)
    monetary_score = serializers.IntegerField(read_only=True)
    recency_days = serializers.IntegerField(read_only=True, allow_null=True, help_text="Null when lapsed.")
    frequency = serializers.IntegerField(read_only=True)
    monetary = ValueField(read_only=True)
    lifetime_actions = serializers.IntegerField(read_only=True, help_text="Of the whole history up to the last run.")
    lifetime_value = ValueField(read_only=True)
    first_action_at = InstantField(read_only=True, allow_null=True)
    last_action_at = InstantField(read_only=True, allow_null=True, help_text="Kept when the user has lapsed.")
    last_updated = InstantField(read_only=True)


NEW_USER = {
    "user_id": 4711,
    "rfm_group": "Low",
    "risk_profile": "Unknown",
    "streak_count": 0,
    "recommended_reward_probability": 0.25,
    "recommended_time_window": "next 24 hours",
    "reason": "base 0.2500 from rule 3 (Low, any risk) + 0.0000 for a streak of 0 days = 0.2500",
    "policy_revision": 1,
    "degraded": [],
}


@extend_schema_serializer(examples=[OpenApiExample("A user who has done nothing yet", NEW_USER, response_only=True)])
class RecommendationSerializer(serializers.Serializer):
    """The recommended reward for a user, and the reason."""

    # For the OpenAPI document only: the body is made by Recommendation.as_json.

    user_id = serializers.IntegerField()
    rfm_group = serializers.CharField()
    risk_profile = serializers.ChoiceField(RiskProfile.choices)
    streak_count = serializers.IntegerField(min_value=0)
    recommended_reward_probability = serializers.FloatField(min_value=0, max_value=1)
    recommended_time_window = serializers.CharField()
    reason = serializers.CharField()
    policy_revision = serializers.IntegerField()
    degraded = serializers.ListField(child=serializers.ChoiceField(["streak"]))


class EffortSerializer(serializers.Serializer):
    """A number of further actions, done now, and their total value."""

    actions = serializers.IntegerField(min_value=1)
    value = ValueField()


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A user who has done nothing yet",
            {
                "user_id": 4711,
                "rfm_group": "Low",
                "leaves_on": None,
                "falls_to": None,
                "to_stay": None,
                "to_rise": {"actions": 3, "value": "0.00"},
                "cut_points": "exact",
            },
            response_only=True,
        )
    ]
)
class OutlookSerializer(serializers.Serializer):
    """When a user leaves the group without further actions, and the least actions to stay or reach a better group."""

    user_id = serializers.IntegerField()
    rfm_group = serializers.CharField(help_text="The group that compute_rfm would give now.")
    leaves_on = serializers.DateField(
        allow_null=True, help_text="The first date whose 02:00 batch would give a lower group; null: never."
    )
    falls_to = serializers.CharField(allow_null=True)
    to_stay = EffortSerializer(allow_null=True, help_text="To be in the group, or a better one, in 7 days.")
    to_rise = EffortSerializer(allow_null=True, help_text="To reach a better group now.")
    cut_points = serializers.ChoiceField(
        ["exact", "frozen"], help_text="frozen: a quantile policy's, as its last run computed them."
    )


class ChangeSerializer(serializers.Serializer):
    """A change of group; from_group is null for the user's first group."""

    changed_at = InstantField()
    from_group = serializers.SerializerMethodField()
    to_group = serializers.CharField()
    run = serializers.IntegerField(source="run_id")

    def get_from_group(self, change: SegmentChange) -> str | None:
        return change.from_group or None
