"""What to offer a user now, and why: the same function for the API, the admin and explain_user."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segments import streaks
from segments.models import KillSwitch, RecommendationPolicy
from segments.recommendations.segment_lookup import NO_SEGMENT, CurrentSegment, current_segments, segment_with_streak
from segments.rules.rewards import Answer, sentence

POLICY_SECONDS = 0.5  # what was published holds everywhere within 1 s


@dataclass(frozen=True)
class Recommendation:
    """An answer for one user, with everything that it was made from."""

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
    """What answers now: the active policy, unless the kill switch overrules it."""

    policy: RecommendationPolicy
    switch: KillSwitch | None

    def answer(self, group: str, risk_profile: str, streak: int | None) -> Answer:
        """What such a user gets."""
        if self.switch is None:
            return self.policy.reward_rules.answer(group, risk_profile, streak)
        probability = self.switch.probability
        terms = [(probability, f"by the kill switch, {self.switch}")]
        return Answer(probability, self.switch.time_window, sentence(terms, probability))


class ActivePolicyCache:
    """Keeps what is in force for half a second, so that a request costs no query for it."""

    def __init__(self) -> None:
        self._known: tuple[float, ActivePolicy] | None = None

    def get(self) -> ActivePolicy:
        """What answers now, in this process at most 0.5 s behind the database."""
        known, now = self._known, time.monotonic()
        if known is None or now >= known[0]:
            switch = KillSwitch.objects.engaged().first()
            known = now + POLICY_SECONDS, ActivePolicy(RecommendationPolicy.objects.active(), switch)
            self._known = known
        return known[1]

    def clear(self) -> None:
        """Look it up again at the next request."""
        self._known = None


ACTIVE_POLICY = ActivePolicyCache()


def recommend(user_id: int) -> Recommendation:
    """What to offer a user now; who has no segment counts as Low / Unknown."""
    return recommend_each([user_id])[0]


def recommend_each(user_ids: Sequence[int], replies: Sequence[Any] | None = None) -> list[Recommendation]:
    """The same for several users, by one SQL read and one Redis read; more where Redis cannot tell a streak.

    `asked` as in streaks.read: the Redis read went along with another call.
    """
    get = ACTIVE_POLICY.get()
    lookups = streaks.read(user_ids, replies)
    known = current_segments({u for u, lookup in zip(user_ids, lookups, strict=True) if not lookup.ask_database})
    return [_recommend(get, u, lookup, known) for u, lookup in zip(user_ids, lookups, strict=True)]


def _recommend(
    get: ActivePolicy, user_id: int, lookup: streaks.StreakLookup, known: dict[int, CurrentSegment]
) -> Recommendation:
    (group, risk_profile), streak = known.get(user_id, NO_SEGMENT), lookup.days
    if lookup.ask_database:
        (group, risk_profile), run = segment_with_streak(user_id)
        streaks.write_back(user_id, lookup.note, run)
        streak = run.days if run else lookup.days
    answer = get.answer(group, risk_profile, streak)
    return Recommendation(user_id, group, risk_profile, streak, answer, get.policy.revision)
