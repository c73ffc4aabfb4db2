"""The admin pages of segments, RFM runs, policies and scheduler jobs. Each module registers its models."""

from segments.admin import jobs, policies, runs, segments

__all__ = ["jobs", "policies", "runs", "segments"]
