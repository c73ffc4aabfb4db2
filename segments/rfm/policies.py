"""Publishing an RFM policy."""

from collections.abc import Sequence
from typing import Any

from segments.models import RfmPolicy


def publish_rfm_policy(
    *,
    rules: list[dict[str, Any]],
    kind: str = RfmPolicy.Kind.FIXED,
    recency_cuts: Sequence[int] = (),
    frequency_cuts: Sequence[int] = (),
    monetary_cuts: Sequence[str] = (),
    created_by: str = "",
    note: str = "",
) -> RfmPolicy:
    """Add a policy revision and make it active from the next run on; units as in RfmPolicy's fields.

    Raises ValidationError, by field; then nothing has changed.
    """
    return RfmPolicy.objects.publish(
        kind=kind,
        recency_cuts=list(recency_cuts),
        frequency_cuts=list(frequency_cuts),
        monetary_cuts=list(monetary_cuts),
        rules=rules,
        created_by=created_by,
        note=note,
    )
