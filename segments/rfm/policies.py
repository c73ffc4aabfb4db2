"""Publishing an RFM policy."""

from typing import Any

from actions.models import UserAction
from segments.models import RfmPolicy

RECENT = 100_000  # actions


def publish_rfm_policy(*, created_by: str = "", note: str = "", **content: Any) -> RfmPolicy:
    """Add a policy revision and make it active from the next run on; fields and units as in RfmPolicy.

    Raises ValidationError, by field; then nothing has changed. It does not ask whether recommendation rules still fit:
    segments.publishing does.
    """
    return RfmPolicy.objects.publish(created_by=created_by, note=note, **content)


def type_warnings(policy: RfmPolicy) -> list[str]:
    """A sentence for each named action type that does not occur among the last actions, with the types that do."""
    named = {name: field for field in ("activity_types", "value_types") for name in _names(getattr(policy, field))}
    if not named:
        return []
    latest = UserAction.objects.order_by("-id").values("action_type")[:RECENT]
    known = sorted({row["action_type"] for row in latest.iterator()})
    listed = ", ".join(known[:20]) or "none"
    return [
        f'{field}: the type "{name}" does not occur in the last {RECENT} actions; their types are: {listed}.'
        for name, field in named.items()
        if name not in known
    ]


def _names(types: dict[str, list[str]] | None) -> list[str]:
    return [name for names in (types or {}).values() for name in names]
