"""The write function of risk profiles."""

from collections.abc import Collection
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from ccweb.events.erasure import erased_among, hold_off_erasures
from segments.models import RfmPolicy, RiskChange, RiskProfile, UserSegment


class RiskProfilesSet(NamedTuple):
    """How many users changed, and who was left out because they are erased."""

    changed: int
    erased: set[int]


def set_risk_profile(*, user_ids: Collection[int], risk_profile: str, by: str) -> RiskProfilesSet:
    """Set the risk profile of users and record the changes; erased users are left out.

    A user without a segment gets one, in the last group.
    """
    profile = RiskProfile(risk_profile)
    with transaction.atomic():
        hold_off_erasures(UserSegment)
        erased = erased_among(user_ids)
        kept = [user_id for user_id in user_ids if user_id not in erased]
        last_group = RfmPolicy.objects.active().scoring_groups()[-1]
        rows = (UserSegment(user_id=u, rfm_group=last_group) for u in kept)
        UserSegment.objects.bulk_create(rows, ignore_conflicts=True)
        others = UserSegment.objects.select_for_update().filter(user_id__in=kept).exclude(risk_profile=profile)
        before = dict(others.order_by("user_id").values_list("user_id", "risk_profile"))
        now = timezone.now()
        UserSegment.objects.filter(user_id__in=before).update(risk_profile=profile, last_updated=now)
        RiskChange.objects.bulk_create(
            RiskChange(user_id=user, from_profile=was, to_profile=profile, changed_by=by, changed_at=now)
            for user, was in before.items()
        )
    return RiskProfilesSet(len(before), erased)
