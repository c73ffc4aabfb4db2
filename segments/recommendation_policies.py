"""The write doors of recommendations: preview and publish a policy, engage and release the kill switch."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from segments.models import KillSwitch, RecommendationPolicy
from segments.population import EXAMPLES, Cell, Crowd, population
from segments.recommendations import DESK
from segments.reward_rules import RewardRules
from segments.verification import REWARDS


@dataclass(frozen=True)
class Change:
    """Users who get the same other answer: probability and time window before and after, and whom for example."""

    before: tuple[Decimal, str]
    after: tuple[Decimal, str]
    users: int
    examples: list[tuple[int, Cell]]


@dataclass
class Preview:
    """What publishing would change for today's users; rewards are expected ones a day, one offer a user."""

    users: int = 0
    changed: int = 0
    rewards_before: Decimal = Decimal(0)
    rewards_after: Decimal = Decimal(0)
    changes: list[Change] = field(default_factory=list)  # the most frequent first


def preview(draft: RecommendationPolicy) -> Preview:
    """Compare a draft with the policy in force for every user with a segment. The draft must have passed full_clean."""
    return compare(RecommendationPolicy.objects.active().reward_rules, draft.reward_rules, population())


def compare(before: RewardRules, after: RewardRules, crowds: Mapping[Cell, Crowd]) -> Preview:
    """The same for any two policies and users; the cost grows with the cells, not with the users."""
    result = Preview()
    moves: dict[tuple[Any, Any], list[tuple[Cell, Crowd]]] = defaultdict(list)
    for cell, crowd in crowds.items():
        old, new = before.answer(*cell), after.answer(*cell)
        result.users += crowd.users
        result.rewards_before += old.probability * crowd.users
        result.rewards_after += new.probability * crowd.users
        move = (old.probability, old.time_window), (new.probability, new.time_window)
        if move[0] != move[1]:
            moves[move].append((cell, crowd))
    for (old_answer, new_answer), cells in moves.items():
        users = sum(crowd.users for _, crowd in cells)
        examples = [(user_id, cell) for cell, crowd in cells for user_id in crowd.examples]
        result.changes.append(Change(old_answer, new_answer, users, examples[:EXAMPLES]))
    result.changes.sort(key=lambda change: -change.users)
    result.changed = sum(change.users for change in result.changes)
    return result


def publish_recommendation_policy(*, created_by: str, **content: Any) -> RecommendationPolicy:
    """Add a policy revision and put it in force on all workers within 1 s; fields as in RecommendationPolicy.

    Raises ValidationError with what is malformed, or with users whom the policy would answer wrongly; then nothing has
    changed.
    """
    draft = RecommendationPolicy(**content)
    draft.clean_fields()
    draft.clean()
    check_rewards(draft)
    policy = RecommendationPolicy.objects.publish(created_by=created_by, **content)
    DESK.forget()
    return policy


def check_rewards(draft: RecommendationPolicy) -> None:
    """ValidationError when a draft promises today's users more rewards a day than its invariants allow."""
    limits = [invariant["at_most"] for invariant in draft.invariants if invariant["kind"] == REWARDS]
    if not limits:
        return
    crowds = population()
    rewards = {cell: draft.reward_rules.answer(*cell).probability * crowd.users for cell, crowd in crowds.items()}
    total = sum(rewards.values(), Decimal(0))
    if total > min(limits):
        cell = max(rewards, key=lambda cell: rewards[cell])
        raise ValidationError({NON_FIELD_ERRORS: [_too_many(draft, total, min(limits), cell, crowds[cell])]})


def _too_many(draft: RecommendationPolicy, total: Decimal, limit: int, cell: Cell, crowd: Crowd) -> str:
    answer = draft.reward_rules.answer(*cell)
    return (
        f"{total:.1f} rewards a day are to be expected from today's users, the invariant allows {limit}. Most of them "
        f"go to {crowd.users} users in group {cell.group}, {cell.risk_profile}, with a streak of {cell.streak} days, "
        f"who get {answer.probability} by {f'rule {answer.rule}' if answer.rule else 'the default'}, "
        f"such as user {crowd.examples[0]}."
    )


def engage_kill_switch(*, by: str, note: str = "", **answer: Any) -> KillSwitch:
    """Give everybody one answer, within 1 s on all workers: 0.1000 `any time`, or `probability` and `time_window`.

    Raises ValidationError when it is engaged already or the answer is malformed.
    """
    switch = KillSwitch(engaged_by=by, note=note, **answer)
    switch.clean_fields()
    try:
        with transaction.atomic():
            switch.save(force_insert=True)
    except IntegrityError:
        raise ValidationError("The kill switch is engaged already: release it first.") from None
    DESK.forget()
    return switch


def release_kill_switch(*, by: str) -> bool:
    """Let the policy answer again, within 1 s on all workers; False when the switch was not engaged."""
    released = KillSwitch.objects.engaged().update(engaged=False, released_at=timezone.now(), released_by=by)
    DESK.forget()
    return bool(released)
