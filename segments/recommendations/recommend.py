"""The recommendation for a user and its reason, for the API, the admin and explain_user."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ccweb.db.steps import Blocking, Scripts, Steps, run
from ccweb.redis.circuit_breaker import DependencyUnavailable
from segments import streaks
from segments.models import KillSwitch, RecommendationPolicy, RfmPolicy
from segments.recommendations.segment_lookup import (
    CurrentSegment,
    as_segments,
    current_segments,
    segment_with_streak,
)
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
    """The active policy and the kill switch, which overrides it while engaged.

    A user without a segment is answered as a member of `last_group`, the last one of the RFM policy.
    """

    policy: RecommendationPolicy
    switch: KillSwitch | None
    last_group: str

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
        if active := self.cached():
            return active
        now, switch = time.monotonic(), KillSwitch.objects.engaged().first()
        last_group = RfmPolicy.objects.active().scoring_groups()[-1]
        active = ActivePolicy(RecommendationPolicy.objects.active(), switch, last_group)
        self._cached = now + POLICY_SECONDS, active
        return active

    def cached(self) -> ActivePolicy | None:
        """The same without a query; None when it would need one."""
        cached = self._cached
        return cached[1] if cached and time.monotonic() < cached[0] else None

    def clear(self) -> None:
        """Query again at the next request."""
        self._cached = None


ACTIVE_POLICY = ActivePolicyCache()


def recommend(user_id: int) -> Recommendation:
    """The recommendation for a user now. Users without a segment are treated as the last group, Unknown."""
    return run(recommend_steps([user_id]))[0]


def recommend_steps(user_ids: Sequence[int], replies: Sequence[Any] | None = None) -> Steps[list[Recommendation]]:
    """The same for several users by one SQL query and one Redis call, plus one query per streak that Redis lacks.

    `replies` are those to streaks.read_call(user_ids) if it was sent together with another call; empty without Redis.
    """
    active = ACTIVE_POLICY.cached() or (yield Blocking(ACTIVE_POLICY.get))
    if replies is None:
        replies = yield from _read_streaks(user_ids)
    lookups = streaks.lookups(user_ids, replies)
    in_redis = {u for u, lookup in zip(user_ids, lookups, strict=True) if not lookup.ask_database}
    segments = as_segments((yield current_segments(in_redis))) if in_redis else {}
    found = []
    for user_id, lookup in zip(user_ids, lookups, strict=True):
        segment, streak = segments.get(user_id), lookup.days
        if lookup.ask_database:
            segment, streak = yield Blocking(partial(_from_database, user_id, lookup))
        segment = segment or CurrentSegment(active.last_group)
        answer = active.answer(segment.rfm_group, segment.risk_profile, streak)
        found.append(Recommendation(user_id, *segment, streak, answer, active.policy.revision))
    return found


def _read_streaks(user_ids: Sequence[int]) -> Steps[Sequence[Any]]:
    try:
        replies: Sequence[Any] = yield Scripts([streaks.read_call(user_ids)])
        return replies
    except DependencyUnavailable:
        return ()


def _from_database(user_id: int, lookup: streaks.StreakLookup) -> tuple[CurrentSegment | None, int | None]:
    """The segment and streak (days) of a user whose streak Redis lacks."""
    segment, run_of_days = segment_with_streak(user_id)
    streaks.write_back(user_id, lookup, run_of_days)
    return segment, run_of_days.days if run_of_days else lookup.days
