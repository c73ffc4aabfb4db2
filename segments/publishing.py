"""Publishing policies, so that recommendation rules always name groups that users can be in.

Both kinds are published under one lock and in one transaction; a preview says what a day would look like.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import connection, transaction

from segments.models import RecommendationPolicy, RfmPolicy
from segments.recommendations.policies import publish_recommendation_policy
from segments.recommendations.population import CHUNK, Cohort, CohortKey, population, streaks_of
from segments.recommendations.preview import Preview, compare, reward_refusals
from segments.recommendations.recommend import ACTIVE_POLICY
from segments.rfm.batch import Outcome
from segments.rfm.policies import publish_rfm_policy
from segments.rfm.run_lock import Busy
from segments.rfm.runs import preview_rfm, request_rfm_run

Content = Mapping[str, Any]
# Users without a row are answered as the last group of the policy in force.
GROUPS_AFTERWARDS = """
SELECT s.user_id, s.rfm_group, COALESCE(d.rfm_group, s.rfm_group), s.risk_profile
FROM user_segments s LEFT JOIN rfm_difference d ON d.user_id = s.user_id
UNION ALL SELECT user_id, %s, rfm_group, 'Unknown' FROM rfm_difference WHERE from_group IS NULL"""


@dataclass(frozen=True)
class Published:
    """The new revisions; None where none was published."""

    rfm: RfmPolicy | None
    recommendation: RecommendationPolicy | None
    run_requested: bool = False


@dataclass(frozen=True)
class Forecasted:
    """What publishing would change: the groups of users, and the answers of a day."""

    groups: Outcome
    answers: Preview


def publish_policies(
    *, rfm: Content | None = None, recommendation: Content | None = None, created_by: str, note: str = ""
) -> Published:
    """Publish one or both in one transaction; contents as the fields of the models.

    An RFM policy that changes the names of groups requests a run: until it is done, users are in their old groups.
    Raises ValidationError, by field (of two policies: rfm.rules, recommendation.rules); then nothing has changed.
    """
    published = partial(_published, by=created_by, note=note, several=rfm is not None and recommendation is not None)
    before = RfmPolicy.objects.active()
    with transaction.atomic():
        RfmPolicy.objects.select_for_update().order_by("pk").first()  # one publisher at a time, of either kind
        new_rfm = None if rfm is None else published("rfm", publish_rfm_policy, rfm)
        cohorts = population if new_rfm is None else partial(_population_afterwards, new_rfm)
        new = None
        if recommendation is not None:
            new = published("recommendation", partial(publish_recommendation_policy, cohorts=cohorts), recommendation)
        elif new_rfm is not None:
            _check_that_rules_fit(new_rfm)
        renamed = new_rfm is not None and new_rfm.scoring_groups() != before.scoring_groups()
        requested = renamed and _request_run(created_by)
    ACTIVE_POLICY.clear()
    return Published(new_rfm, new, requested)


def forecast_policies(rfm: RfmPolicy, recommendation: RecommendationPolicy) -> Forecasted:
    """What publishing drafts would change for today's users, as of now. The drafts must be valid."""
    found: dict[str, Preview] = {}

    def look(outcome: Outcome) -> None:
        found["answers"] = assess_moves(recommendation, _moved_population())

    outcome = preview_rfm(policy=rfm, look=look)
    return Forecasted(outcome, found["answers"])


def assess_moves(recommendation: RecommendationPolicy, cohorts: Mapping[CohortKey, Cohort]) -> Preview:
    """The answers of today's policy and groups against those of a draft and the groups afterwards."""
    result = compare(RecommendationPolicy.objects.active().reward_rules, recommendation.reward_rules, cohorts)
    result.refusals = reward_refusals(recommendation, cohorts)
    return result


def refusals_of(rfm: RfmPolicy, recommendation: RecommendationPolicy) -> list[str]:
    """Why a recommendation policy does not fit the groups of an RFM policy; [] when it does."""
    try:
        recommendation.check_with(rfm.scoring_groups())
    except ValidationError as error:
        return error.messages
    return []


def _published(kind: str, publish: Any, content: Content, *, by: str, note: str, several: bool) -> Any:
    try:
        return publish(created_by=by, **{"note": note} | dict(content))
    except ValidationError as error:
        if not several:
            raise
        faults = error.message_dict.items()
        raise ValidationError({f"{kind}.{field}": texts for field, texts in faults}) from None


def _check_that_rules_fit(rfm: RfmPolicy) -> None:
    active = RecommendationPolicy.objects.active()
    faults = refusals_of(rfm, active)
    if not faults and active.reward_limits:
        faults = reward_refusals(active, _population_afterwards(rfm))
    if faults:
        which = f"Recommendation policy {active.revision} does not fit these groups; publish another one with them"
        raise ValidationError({"rules": [f"{which}: {fault}" for fault in faults]})


def _request_run(by: str) -> bool:
    with suppress(Busy):  # another request waits, and uses the new policy too
        request_rfm_run(requested_by=by)
    return True


def _population_afterwards(rfm: RfmPolicy) -> dict[CohortKey, Cohort]:
    """Users by what their answer will depend on after the next run by this policy."""
    found: dict[CohortKey, Cohort] = {}
    preview_rfm(policy=rfm, look=lambda _: found.update(_moved_population()))
    return found


def _moved_population() -> dict[CohortKey, Cohort]:
    """Today's users by group, risk profile, streak and the group afterwards, while rfm_difference exists."""
    cohorts: dict[CohortKey, Cohort] = defaultdict(Cohort)
    with _groups_afterwards() as cursor:
        while rows := cursor.fetchmany(CHUNK):
            for (user_id, before, after, risk), days in zip(rows, streaks_of([r[0] for r in rows]), strict=True):
                cohorts[CohortKey(before, risk, days, after)].add(user_id)
    return cohorts


@contextmanager
def _groups_afterwards() -> Iterator[Any]:
    last = RfmPolicy.objects.active().scoring_groups()[-1]
    with closing(connection.chunked_cursor()) as cursor:
        cursor.execute(GROUPS_AFTERWARDS, [last])
        yield cursor


def errors_of(error: ValidationError) -> Iterator[tuple[str, str]]:
    """The faults of a refused policy: the field, or "policy", and the message."""
    if not hasattr(error, "error_dict"):
        yield from (("policy", text) for text in error.messages)
        return
    for field, texts in error.message_dict.items():
        name = field.replace(NON_FIELD_ERRORS, "policy")
        yield from ((name, text) for text in texts)
