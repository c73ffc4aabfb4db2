"""The models of segments, RFM runs, policies and their history."""

from segments.models.change import SegmentChange
from segments.models.policy import RfmPolicy
from segments.models.recommendation import KillSwitch, RecommendationPolicy
from segments.models.revision import Revision, RevisionQuerySet
from segments.models.risk_change import RiskChange
from segments.models.run import RfmRun
from segments.models.segment import UserSegment
from segments.rules.risk_profiles import RiskProfile

__all__ = [
    "KillSwitch",
    "RecommendationPolicy",
    "Revision",
    "RevisionQuerySet",
    "RfmPolicy",
    "RfmRun",
    "RiskChange",
    "RiskProfile",
    "SegmentChange",
    "UserSegment",
]
