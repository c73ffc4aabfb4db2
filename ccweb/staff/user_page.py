"""The user page: segment and scores, outlook, recommendation, timeline."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from actions.models import UserAction
from ccweb.staff.charts import ruler
from segments.forecasts.outlook import foreseen_scoring, outlook_and_leaving
from segments.models import RfmPolicy, RiskChange, SegmentChange, UserSegment
from segments.recommendations.recommend import recommend
from segments.rfm import clock
from segments.rules.scoring import Scoring
from visits.models import SiteVisit

EVENTS = 50
SOON = timedelta(days=7)


def user_context(user_id: int) -> dict[str, Any]:
    """The context of the user page; also for a user without a segment or without any events."""
    now = clock.present()
    outlook, leaving = outlook_and_leaving(user_id=user_id, now=now, until=now + SOON)
    segment = UserSegment.objects.with_as_of().filter(pk=user_id).first()
    return {
        "segment": segment,
        "gauges": list(gauges(segment, foreseen_scoring(RfmPolicy.objects.active()))) if segment else [],
        "leaving": leaving,
        "window_days": RfmPolicy.objects.active().window_days,
        "outlook": outlook,
        "recommendation": recommend(user_id),
        "timeline": timeline(user_id),
    }


def gauges(segment: UserSegment, scoring: Scoring) -> Iterator[dict[str, Any]]:
    """Each dimension's value, score and cut points, with a text for each cut point and whether it is reached."""
    if not segment.frequency:
        return
    dimensions = [
        ("Recency", segment.recency_days, segment.recency_score, scoring.cuts.recency, "at most {} days ago"),
        ("Frequency", segment.frequency, segment.frequency_score, scoring.cuts.frequency, "at least {} actions"),
        ("Monetary", segment.monetary, segment.monetary_score, scoring.cuts.monetary, "at least {} in value"),
    ]
    for name, figure, score, cuts, wording in dimensions:
        points = [
            {"cut": cut, "score": n, "reached": n <= score, "text": wording.format(cut)}
            for n, cut in enumerate(cuts, start=2)
        ]
        scale = ruler(float(figure or 0), [float(cut) for cut in cuts if cut is not None])
        yield {"name": name, "figure": figure, "score": score, "points": points, **scale}


def timeline(user_id: int) -> list[dict[str, Any]]:
    """The latest events of every kind, newest first."""
    events = [*_actions(user_id), *_visits(user_id), *_changes(user_id), *_risks(user_id)]
    return sorted(events, key=lambda event: event["at"], reverse=True)[:EVENTS]


def _actions(user_id: int) -> Iterator[dict[str, Any]]:
    rows = UserAction.objects.filter(user_id=user_id).order_by("-action_timestamp")[:EVENTS]
    return ({"at": a.action_timestamp, "kind": "action", "text": f"{a.action_type}, value {a.value}"} for a in rows)


def _visits(user_id: int) -> Iterator[dict[str, Any]]:
    rows = SiteVisit.objects.filter(user_id=user_id).order_by("-visit_timestamp")[:EVENTS]
    return ({"at": v.visit_timestamp, "kind": "visit", "text": f"came from {v.source}"} for v in rows)


def _changes(user_id: int) -> Iterator[dict[str, Any]]:
    rows = SegmentChange.objects.filter(user_id=user_id)[:EVENTS]
    words = ((c, f"{c.from_group} → {c.to_group}" if c.from_group else f"first seen: {c.to_group}") for c in rows)
    return ({"at": c.changed_at, "kind": "group", "text": f"{text} (run {c.run_id})"} for c, text in words)


def _risks(user_id: int) -> Iterator[dict[str, Any]]:
    rows = RiskChange.objects.filter(user_id=user_id)[:EVENTS]
    words = ((c, f"{c.from_profile} → {c.to_profile} by {c.changed_by}") for c in rows)
    return ({"at": c.changed_at, "kind": "risk", "text": text} for c, text in words)
