"""The recommendation for a user and its reason, for the API, the admin and explain_user."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segments import streaks
from segments.models import KillSwitch, RecommendationPolicy
from segments.recommendations.segment_lookup import NO_SEGMENT, CurrentSegment, current_segments, segment_with_streak
from segments.rules.rewards import Answer, sentence

POLICY_SECONDS = 0.5  # a published policy is used by all workers within 1 s


@dataclass(frozen=True)
class Recommendation:
    """The answer for one user with all its inputs. `streak` (days) is None when it is not known."""

    user_id: int
    rfm_group: str
    risk_profile: str
    streak: int | None
    answer: Answer
    policy_revision: int

    def as_json(self) -> dict[str, Any]:
        """The body of the API's answer; the probability is a JSON number of at most 4 places."""
        return {
            "user_id": self.user_id,
            "rfm_group": self.rfm_group,
            "risk_profile": self.risk_profile,
            "streak_count": self.streak or 0,
            "recommended_reward_probability": float(self.answer.probability),
            "recommended_time_window": self.answer.time_window,
            "reason": self.answer.reason,
            "policy_revision": self.policy_revision,
            "degraded": ["streak"] if self.streak is None else [],
        }


@dataclass(frozen=True)
class ActivePolicy:
    """The active policy and the kill switch, which overrides it while engaged."""

    policy: RecommendationPolicy
    switch: KillSwitch | None

    def answer(self, group: str, risk_profile: str, streak: int | None) -> Answer:
        """The answer for such a user; the streak (days) is None when it is not known."""
        if self.switch is None:
            return self.policy.reward_rules.answer(group, risk_profile, streak)
        probability = self.switch.probability
        terms = [(probability, f"by the kill switch, {self.switch}")]
        return Answer(probability, self.switch.time_window, sentence(terms, probability))


class ActivePolicyCache:
    """Caches the active policy for 0.5 s, so that most requests need no query for it."""

    def __init__(self) -> None:
        self._cached: tuple[float, ActivePolicy] | None = None

    def get(self) -> ActivePolicy:
        """The active policy and kill switch, at most 0.5 s behind the database."""
        cached, now = self._cached, time.monotonic()
        if cached is None or now >= cached[0]:
            switch = KillSwitch.objects.engaged().first()
            cached = now + POLICY_SECONDS, ActivePolicy(RecommendationPolicy.objects.active(), switch)
            self._cached = cached
        return cached[1]

    def clear(self) -> None:
        """Query again at the next request."""
        self._cached = None


ACTIVE_POLICY = ActivePolicyCache()


def recommend(user_id: int) -> Recommendation:
    """The recommendation for a user now. A user without a segment counts as Low / Unknown."""
    return recommend_each([user_id])[0]


def recommend_each(user_ids: Sequence[int], replies: Sequence[Any] | None = None) -> list[Recommendation]:
    """The same for several users by one SQL query and one Redis call, plus one query per streak that Redis lacks.

    `replies` as in streaks.read: the replies of a Redis call that was sent together with another one.
    """
    active = ACTIVE_POLICY.get()
    lookups = streaks.read(user_ids, replies)
    segments = current_segments({u for u, lookup in zip(user_ids, lookups, strict=True) if not lookup.ask_database})
    return [_recommend(active, u, lookup, segments) for u, lookup in zip(user_ids, lookups, strict=True)]


def _recommend(
    active: ActivePolicy, user_id: int, lookup: streaks.StreakLookup, segments: dict[int, CurrentSegment]
) -> Recommendation:
    (group, risk_profile), streak = segments.get(user_id, NO_SEGMENT), lookup.days
    if lookup.ask_database:
        (group, risk_profile), run = segment_with_streak(user_id)
        streaks.write_back(user_id, lookup.note, run)
        streak = run.days if run else lookup.days
    answer = active.answer(group, risk_profile, streak)
    return Recommendation(user_id, group, risk_profile, streak, answer, active.policy.revision)
