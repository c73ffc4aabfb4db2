"""The RFM policy: what counts, cut points for scores, and rules that classify scores into groups."""

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from segments.models.revision import Revision, RevisionQuerySet
from segments.rules.counting import ActionTypes, Counting
from segments.rules.rfm_policy_errors import policy_errors
from segments.rules.rfm_rule_errors import rule_errors
from segments.rules.scoring import CutPoints, Rule, Scoring

DIMENSIONS = ("recency", "frequency", "monetary")


class RfmPolicyQuerySet(RevisionQuerySet["RfmPolicy"]):
    """Revisions of the RFM policy."""


class RfmPolicy(Revision):
    """What counts, cut points and group rules, see docs/02_data_personalization_en.md."""

    class Kind(models.TextChoices):
        """Where the cut points come from."""

        FIXED = "fixed", "Fixed: the cut points below"
        QUANTILE = "quantile", "Quantile: shares of the active users, computed at each run"

    class Count(models.TextChoices):
        """What one of frequency is."""

        ACTIONS = "actions", "Each action"
        ORDERS = "orders", "Each order: the actions of a user with one order_id"

    kind = models.CharField(max_length=8, choices=Kind, default=Kind.FIXED)
    window_days = models.PositiveSmallIntegerField(
        default=30, db_default=30, help_text="How far back actions count, 1 to 730 days."
    )
    activity_types = models.JSONField(
        null=True, blank=True, default=None, help_text="Which action types count for recency and frequency."
    )
    value_types = models.JSONField(
        null=True, blank=True, default=None, help_text="The value of which action types counts for monetary."
    )
    # db_default: what earlier revisions, and releases that do not know this field, judge by.
    negative_is_activity = models.BooleanField(
        default=False,
        db_default=True,
        help_text="Whether an action with a negative value, such as a refund, counts as activity.",
    )
    count = models.CharField(max_length=7, choices=Count, default=Count.ACTIONS, db_default=Count.ACTIONS)
    bins = models.PositiveSmallIntegerField(
        default=5, db_default=5, help_text="Scores go from 1 to this number, 2 to 10."
    )
    recency_cuts = models.JSONField(
        default=list,
        blank=True,
        help_text="Day limits, largest first, one fewer than bins: 30, 30, 7, 7. Empty for quantile.",
    )
    frequency_cuts = models.JSONField(
        default=list, blank=True, help_text="Minimum numbers of actions, smallest first: 3, 3, 10, 10."
    )
    monetary_cuts = models.JSONField(
        default=list, blank=True, help_text="Minimum sums, smallest first: 20, 20, 100, 100."
    )
    shares = models.JSONField(
        null=True,
        blank=True,
        default=None,
        help_text="For quantile: percentages of users by bin, best first: 1, 4, 15, 30, 50. Empty: equal bins.",
    )
    rules = models.JSONField(
        help_text='Groups, best first, with their minimum scores: [{"name": "Whale", "recency": 4, "frequency": 4, '
        '"monetary": 4, "color": "#1f77b4"}, ...]. The first that matches counts; the last must match all (1, 1, 1). '
        'A rule may also ask the whole history: "lifetime_actions": 10, "lifetime_value": "500", "gone_days": 60.'
    )

    objects = RfmPolicyQuerySet.as_manager()

    class Meta(Revision.Meta):
        db_table = "rfm_policies"
        verbose_name = "RFM policy"
        verbose_name_plural = "RFM policies"

    CONTENT = (
        *("kind", "window_days", "activity_types", "value_types", "negative_is_activity", "count"),
        *("bins", "recency_cuts", "frequency_cuts", "monetary_cuts", "shares", "rules"),
    )

    def clean(self) -> None:
        """Raise ValidationError, by field, for content that makes no sense."""
        content: dict[str, Any] = {name: getattr(self, name) for name in self.CONTENT}
        errors = policy_errors(content)
        if "bins" not in errors and (faults := rule_errors(self.rules, self.bins)):
            errors["rules"] = faults
        if errors:
            raise ValidationError(errors)

    @property
    def counting(self) -> Counting:
        """What counts."""
        return Counting(
            self.window_days,
            ActionTypes.from_json(self.activity_types),
            ActionTypes.from_json(self.value_types),
            self.negative_is_activity,
            self.count == self.Count.ORDERS,
        )

    @property
    def shares_below(self) -> list[Fraction]:
        """For each cut point of a quantile policy the share of users (0..1) that has to be below it, rising."""
        shares = self.shares or [Fraction(100, self.bins)] * self.bins
        below = accumulate(Fraction(Decimal(s)) if isinstance(s, str) else Fraction(s) for s in reversed(shares))
        return [share / 100 for share in below][:-1]

    @property
    def fixed_cuts(self) -> CutPoints:
        """The cut points of a fixed policy. A quantile policy has none: its runs compute them (RfmRun.cuts)."""
        return CutPoints.from_json({dimension: getattr(self, f"{dimension}_cuts") for dimension in DIMENSIONS})

    @property
    def group_rules(self) -> list[Rule]:
        """The rules, best group first."""
        return [Rule.from_json(rule) for rule in self.rules]

    def scoring_groups(self) -> list[str]:
        """Group names, best first."""
        return [rule.name for rule in self.group_rules]

    def scoring(self, cuts: CutPoints | None = None) -> Scoring:
        """The scoring by the given cut points (those of a run), or by the policy's fixed ones."""
        return Scoring(cuts or self.fixed_cuts, self.group_rules, self.counting)
