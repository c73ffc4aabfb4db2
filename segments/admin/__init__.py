"""Segments, runs, policies and the scheduler's jobs, for staff. Each module registers what it holds."""

from segments.admin import jobs, policies, runs, segments

__all__ = ["jobs", "policies", "runs", "segments"]
