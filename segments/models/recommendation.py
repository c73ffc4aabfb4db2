"""The recommendation policy, and the kill switch that overrides it."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from segments.models.policy import RfmPolicy
from segments.models.revision import Revision, RevisionQuerySet
from segments.rules.reward_policy_errors import WINDOW_LENGTH, invariant_errors, is_time_window, rule_errors
from segments.rules.reward_safety import REWARDS, counter_examples
from segments.rules.rewards import RewardRule, RewardRules

PROBABILITY = [MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1))]


class RecommendationPolicyQuerySet(RevisionQuerySet["RecommendationPolicy"]):
    """Revisions of the recommendation policy."""


class RecommendationPolicy(Revision):
    """Ordered reward rules; the first that matches applies. See docs/02_data_personalization_en.md."""

    rules = models.JSONField(
        default=list,
        blank=True,
        help_text='In order, the first that matches counts; null is any: [{"group": "Whale", "risk_profile": '
        '"High-Risk", "streak_from": 0, "streak_to": null, "probability": "0.75", "time_window": "next 2 hours"}, ..]',
    )
    streak_step = models.DecimalField(
        max_digits=7, decimal_places=6, default=Decimal("0.01"), help_text="Added for each day of the streak."
    )
    floor = models.DecimalField(
        max_digits=5, decimal_places=4, default=Decimal("0.05"), help_text="No answer is lower."
    )
    cap = models.DecimalField(max_digits=5, decimal_places=4, default=Decimal("0.95"), help_text="No answer is higher.")
    default_probability = models.DecimalField(
        max_digits=7, decimal_places=6, default=Decimal("0.10"), help_text="The base where no rule matches."
    )
    default_time_window = models.CharField(max_length=WINDOW_LENGTH, default="any time")
    invariants = models.JSONField(
        default=list,
        blank=True,
        help_text='What must hold whatever the rules say: {"kind": "never_lower_for_a_better_group"}, '
        '{"kind": "at_most", "risk_profile": "High-Risk", "probability": "0.5"}, '
        '{"kind": "expected_rewards_a_day", "at_most": 500}',
    )

    objects = RecommendationPolicyQuerySet.as_manager()

    class Meta(Revision.Meta):
        db_table = "recommendation_policies"
        verbose_name = "recommendation policy"
        verbose_name_plural = "recommendation policies"

    def clean(self) -> None:
        """Raise ValidationError, by field, for malformed content, or with users who would get an unsafe answer."""
        self.check_with(self.known_groups())

    def check_with(self, groups: Sequence[str]) -> None:
        """The same with these groups of an RFM policy, best first."""
        errors = {"rules": rule_errors(self.rules, groups), "invariants": invariant_errors(self.invariants)}
        if not is_time_window(self.default_time_window):
            errors["default_time_window"] = [f"It must be 1 to {WINDOW_LENGTH} printable characters."]
        if not any(errors.values()):
            examples = counter_examples(self.reward_rules, self.invariants, groups)
            errors[NON_FIELD_ERRORS] = [str(example) for example in examples]
        if found := {field: texts for field, texts in errors.items() if texts}:
            raise ValidationError(found)

    CONTENT = (*("rules", "streak_step", "floor", "cap", "default_probability", "default_time_window", "invariants"),)

    @staticmethod
    def known_groups() -> list[str]:
        """The groups of the active RFM policy, best first."""
        return [rule.name for rule in RfmPolicy.objects.active().group_rules]

    @property
    def reward_limits(self) -> list[int]:
        """How many expected rewards a day the invariants allow, all of which hold."""
        return [invariant["at_most"] for invariant in self.invariants if invariant["kind"] == REWARDS]

    @cached_property
    def reward_rules(self) -> RewardRules:
        """The content as a function of group, risk profile and streak."""
        return RewardRules(
            tuple(RewardRule.from_json(rule) for rule in self.rules),
            self.streak_step,
            self.floor,
            self.cap,
            self.default_probability,
            self.default_time_window,
        )


class KillSwitchQuerySet(models.QuerySet["KillSwitch"]):
    """Queries of the switch's history."""

    def engaged(self) -> "KillSwitchQuerySet":
        """The engaged switch: one row or none."""
        return self.filter(engaged=True)


class KillSwitch(models.Model):
    """A period in which the policy is overridden: until the release all users get this answer."""

    probability = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        default=Decimal("0.1000"),
        validators=PROBABILITY,
        help_text="The answer for all users.",
    )
    time_window = models.CharField(max_length=WINDOW_LENGTH, default="any time")
    engaged = models.BooleanField(default=True, editable=False)
    engaged_at = models.DateTimeField(default=timezone.now, editable=False)
    engaged_by = models.CharField(max_length=150, editable=False)
    note = models.CharField(max_length=300, blank=True, help_text="Reason (shown in the history).")
    released_at = models.DateTimeField(null=True, editable=False)
    released_by = models.CharField(max_length=150, blank=True, editable=False)

    objects = KillSwitchQuerySet.as_manager()

    class Meta:
        db_table = "recommendation_kill_switch"
        ordering = ["-id"]
        verbose_name_plural = "kill switches"
        constraints = [
            models.UniqueConstraint(
                fields=["engaged"], condition=models.Q(engaged=True), name="recommendation_kill_switch_once"
            )
        ]

    def __str__(self) -> str:
        return f"engaged {self.engaged_at:%Y-%m-%d %H:%M} UTC by {self.engaged_by}"
