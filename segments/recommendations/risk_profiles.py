"""The write function of risk profiles."""

from collections.abc import Collection

from django.db import transaction
from django.utils import timezone

from ccweb.events.erasure import UserErased, erased_among
from segments.models import RfmPolicy, RiskChange, RiskProfile, UserSegment


def set_risk_profile(*, user_ids: Collection[int], risk_profile: str, by: str) -> int:
    """Set the risk profile of users and record the changes. Returns how many users changed.

    A user without a segment gets one, in the last group. Raises UserErased when one of them is erased; then nothing
    has changed.
    """
    profile = RiskProfile(risk_profile)
    with transaction.atomic():
        if erased_among(user_ids):
            raise UserErased
        last_group = RfmPolicy.objects.active().scoring_groups()[-1]
        rows = (UserSegment(user_id=u, rfm_group=last_group) for u in user_ids)
        UserSegment.objects.bulk_create(rows, ignore_conflicts=True)
        others = UserSegment.objects.select_for_update().filter(user_id__in=user_ids).exclude(risk_profile=profile)
        before = dict(others.order_by("user_id").values_list("user_id", "risk_profile"))
        now = timezone.now()
        UserSegment.objects.filter(user_id__in=before).update(risk_profile=profile, last_updated=now)
        RiskChange.objects.bulk_create(
            RiskChange(user_id=user, from_profile=was, to_profile=profile, changed_by=by, changed_at=now)
            for user, was in before.items()
        )
    return len(before)
