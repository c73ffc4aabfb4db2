"""Where users stand, by which rules, since when."""

from segments.models.change import SegmentChange
from segments.models.policy import RfmPolicy
from segments.models.revision import Revision, RevisionQuerySet
from segments.models.run import RfmRun
from segments.models.segment import RiskProfile, UserSegment

__all__ = ["Revision", "RevisionQuerySet", "RfmPolicy", "RfmRun", "RiskProfile", "SegmentChange", "UserSegment"]
