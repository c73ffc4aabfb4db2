"""The user page: segment and scores, outlook, recommendation, timeline."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.translation import ngettext_lazy

from actions.models import UserAction
from ccweb.staff.charts import ruler
from segments.forecasts.outlook import STAY_PERIOD, foreseen_scoring, user_outlook
from segments.models import RfmPolicy, RiskChange, SegmentChange, UserSegment
from segments.recommendations.recommend import recommend
from segments.rfm import clock
from segments.rules.scoring import Scoring
from visits.models import SiteVisit

EVENTS = 50
SOON = STAY_PERIOD


def user_context(user_id: int) -> dict[str, Any]:
    """The context of the user page; also for a user without a segment or without any events."""
    now, policy = clock.present(), RfmPolicy.objects.active()
    scoring = foreseen_scoring(policy)
    outlook, leaving, stays = user_outlook(user_id=user_id, now=now, until=now + SOON)
    segment = UserSegment.objects.with_as_of().filter(pk=user_id).first()
    return {
        "segment": segment,
        "gauges": list(gauges(segment, scoring)) if segment else [],
        "leaving": leaving,
        "window_days": policy.window_days,
        "outlook": outlook,
        "stays": stays,
        "is_highest": outlook.rfm_group == scoring.groups[0],
        "recommendation": recommend(user_id),
        "timeline": timeline(user_id),
    }


def gauges(segment: UserSegment, scoring: Scoring) -> Iterator[dict[str, Any]]:
    """Each dimension's value, score and cut points, with a text for each cut point and whether it is reached."""
    if not segment.frequency:
        return
    dimensions: list[tuple[str, Any, int, Sequence[Any], Any]] = [
        (
            "Recency",
            segment.recency_days,
            segment.recency_score,
            scoring.cuts.recency,
            ngettext_lazy("at most %d day ago", "at most %d days ago"),
        ),
        (
            "Frequency",
            segment.frequency,
            segment.frequency_score,
            scoring.cuts.frequency,
            ngettext_lazy("at least %d action", "at least %d actions"),
        ),
        ("Monetary", segment.monetary, segment.monetary_score, scoring.cuts.monetary, "at least %s in value"),
    ]
    for name, figure, score, cuts, wording in dimensions:
        points = [
            {"cut": cut, "score": n, "reached": n <= score, "text": wording % cut if cut is not None else ""}
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
