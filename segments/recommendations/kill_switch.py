"""The kill switch: one answer for all users while something is wrong with the policy."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from segments.models import KillSwitch
from segments.recommendations.recommend import ACTIVE_POLICY


def engage_kill_switch(*, by: str, note: str = "", **answer: Any) -> KillSwitch:
    """Give all users one answer, within 1 s on all workers: 0.1000 `any time`, or `probability` and `time_window`.

    Raises ValidationError when the switch is engaged already or the answer is malformed.
    """
    switch = KillSwitch(engaged_by=by, note=note, **answer)
    switch.clean_fields()
    try:
        with transaction.atomic():
            switch.save(force_insert=True)
    except IntegrityError:
        raise ValidationError("The kill switch is engaged already: release it first.") from None
    ACTIVE_POLICY.clear()
    return switch


def release_kill_switch(*, by: str) -> bool:
    """Let the active policy answer again, within 1 s on all workers. False when the switch was not engaged."""
    released = KillSwitch.objects.engaged().update(engaged=False, released_at=timezone.now(), released_by=by)
    ACTIVE_POLICY.clear()
    return bool(released)
