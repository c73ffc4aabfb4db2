"""The overview on the admin's index page: users by group over time, and the state of the system."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db.models import Count
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import ngettext

from actions.kafka.probe import ask_kafka
from actions.models import HourlyCount, OutboxMessage
from ccweb.api.shop_clock import shop_zone
from ccweb.db.leader_election import is_led
from ccweb.health import ask_redis, state
from ccweb.staff.charts import HEIGHT, PALETTE, WIDTH, bars, shade, stacked_areas
from segments.models import RfmPolicy, RfmRun
from segments.rfm import clock
from segments.rfm.transitions import transition_matrix
from visits.models import SiteVisit

RUNS = 60
USUAL_DAYS = 7


def overview(query: Mapping[str, str]) -> dict[str, Any]:
    """The context of the overview; `query` may hold the dates `from` and `to` (YYYY-MM-DD) of the matrix."""
    groups = RfmPolicy.objects.active().scoring_groups()
    return {
        "population": population(groups),
        "heat_map": heat_map(RfmRun.objects.done().select_related("policy").first()),
        "matrix": matrix(groups, query),
        "hours": hours(),
        "visits": visits(),
        "run": RfmRun.objects.exclude(status=RfmRun.Status.REQUESTED).first(),
        "parts": parts(),
    }


def population(groups: list[str]) -> dict[str, Any]:
    """Users by group as of each of the last 60 runs."""
    runs = sorted(RfmRun.objects.done()[:RUNS], key=lambda run: (run.as_of, run.pk))
    names = groups + sorted({name for run in runs for name in run.groups} - set(groups))
    series: dict[str, Sequence[int]] = {name: [run.groups.get(name, 0) for run in runs] for name in reversed(names)}
    latest = {name: runs[-1].groups.get(name, 0) for name in names} if runs else {}
    colors = {rule.name: rule.color for rule in RfmPolicy.objects.active().group_rules}
    return {
        "areas": [area._asdict() | {"fill": colors.get(area.label)} for area in stacked_areas(series)],
        "now": [
            row | {"colour": n % PALETTE, "fill": colors.get(row["label"])}
            for n, row in zip(reversed(range(len(names))), bars(latest), strict=False)
        ],
        "users": sum(latest.values()),
        "first": runs[0].as_of if runs else None,
        "last": runs[-1].as_of if runs else None,
        "width": WIDTH,
        "height": HEIGHT,
    }


def heat_map(run: RfmRun | None) -> list[dict[str, Any]]:
    """Users by recency score (rows) and frequency score (cells), best first, as counted by a run."""
    counts = {(r, f): n for r, f, n in (run.scores if run else None) or []}
    total = sum(counts.values())
    scores = range(run.policy.bins if run and run.policy else 5, 0, -1)
    return [
        {
            "recency": r,
            "cells": [
                {"frequency": f, "users": (n := counts.get((r, f), 0)), "shade": shade(n, total)} for f in scores
            ],
        }
        for r in scores
    ]


def matrix(groups: list[str], query: Mapping[str, str]) -> dict[str, Any]:
    """Users by the group at the start of one UTC day (rows) and at the end of another (columns)."""
    today = timezone.now().date()
    start, end = _date(query.get("from")) or today - timedelta(days=1), _date(query.get("to")) or today
    moments = datetime.combine(start, time.min, UTC), datetime.combine(end, time.max, UTC)
    counts = transition_matrix(*moments)
    columns = groups + sorted({to for _, to in counts} - set(groups))
    rows = groups + sorted({was for was, _ in counts} - set(groups))
    table = [{"from": was, "cells": [counts[was, to] for to in columns]} for was in rows]
    return {"start": start, "end": end, "columns": columns, "rows": [r for r in table if any(r["cells"])]}


def hours() -> list[dict[str, Any]]:
    """Actions delivered in each hour of this UTC day, and the mean of the same hour of the seven days before."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    counts = dict(HourlyCount.objects.filter(hour__gte=midnight - timedelta(days=USUAL_DAYS)).values_list())
    rows = []
    for hour in range(24):
        moment = midnight + timedelta(hours=hour)
        usual = sum(counts.get(moment - timedelta(days=day), 0) for day in range(1, USUAL_DAYS + 1)) / USUAL_DAYS
        rows.append({"hour": hour, "count": counts.get(moment, 0), "usual": round(usual, 1)})
    greatest = max((max(row["count"], row["usual"]) for row in rows), default=0) or 1
    for row in rows:
        row |= {"height": 100 * row["count"] / greatest, "usual_height": 100 * row["usual"] / greatest}
    return rows


def visits() -> list[dict[str, Any]]:
    """Visits of the last seven days by source, the ten most frequent."""
    recent = SiteVisit.objects.filter(visit_timestamp__gte=timezone.now() - timedelta(days=7)).order_by()
    counted = recent.values_list("source").annotate(visits=Count("id")).order_by("-visits", "source")[:10]
    return bars(dict(counted))


def parts() -> list[dict[str, Any]]:
    """The state of each component: its name, whether it is healthy, and a number or the reason."""
    waiting, age = OutboxMessage.objects.backlog()
    quarantined = OutboxMessage.objects.quarantined().count()
    has_leader = is_led("relay")
    return [
        {"name": "Clock", "well": not clock.is_of_data(), "text": _clock()},
        {"name": "Relay", "well": has_leader, "text": "Running" if has_leader else "No relay running"},
        {
            "name": "Outbox",
            "well": age < 60,
            "text": f"{waiting} waiting, the oldest for {age:.0f} s" if waiting else "Empty",
        },
        {
            "name": "Quarantine",
            "well": not quarantined,
            "text": ngettext("%d message", "%d messages", quarantined) % quarantined,
        },
        _part("Redis", state(ask_redis)),
        _part("Kafka", state(ask_kafka, in_full=True)),
    ]


def _clock() -> str:
    zone = shop_zone()
    if clock.is_of_data():
        return f"RFM_AS_OF=data: runs and outlooks are as of the end of the data, {clock.present():%Y-%m-%d %H:%M} UTC"
    return f"nightly batch at 02:00 {zone.key}, where it is now {timezone.now().astimezone(zone):%Y-%m-%d %H:%M}"


def _part(name: str, found: dict[str, Any]) -> dict[str, Any]:
    well = found["status"] == "ok"
    why = ": ".join(found[name] for name in ("error", "detail") if name in found)
    return {"name": name, "well": well, "text": f"Reachable, {found['ms']} ms" if well else f"Unreachable ({why})"}


def _date(text: str | None) -> Any:
    try:
        return parse_date(text or "")
    except ValueError:
        return None
