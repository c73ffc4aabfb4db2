"""The RFM policy: cut points for scores, and rules that classify scores into groups."""

from django.core.exceptions import ValidationError
from django.db import models

from segments.models.revision import Revision, RevisionQuerySet
from segments.rules.rfm_policy_errors import cut_errors, rule_errors
from segments.rules.scoring import CutPoints, Rule, Scoring

DIMENSIONS = ("recency", "frequency", "monetary")


class RfmPolicyQuerySet(RevisionQuerySet["RfmPolicy"]):
    """Revisions of the RFM policy."""


class RfmPolicy(Revision):
    """Cut points and group rules, see docs/02_data_personalization_en.md."""

    class Kind(models.TextChoices):
        """Where the cut points come from."""

        FIXED = "fixed", "Fixed: the cut points below"
        QUANTILE = "quantile", "Quantile: quintiles of the active users, computed at each run"

    kind = models.CharField(max_length=8, choices=Kind, default=Kind.FIXED)
    recency_cuts = models.JSONField(
        default=list, blank=True, help_text="Four day limits, largest first: [30, 30, 7, 7]. Empty for quantile."
    )
    frequency_cuts = models.JSONField(
        default=list, blank=True, help_text="Four minimum numbers of actions, smallest first: [3, 3, 10, 10]."
    )
    monetary_cuts = models.JSONField(
        default=list, blank=True, help_text='Four minimum sums, smallest first, as text: ["20", "20", "100", "100"].'
    )
    rules = models.JSONField(
        help_text='Groups, best first, with their minimum scores: [{"name": "Whale", "recency": 4, "frequency": 4, '
        '"monetary": 4}, ...]. The first that matches counts; the last must match all (1, 1, 1).'
    )

    objects = RfmPolicyQuerySet.as_manager()

    class Meta(Revision.Meta):
        db_table = "rfm_policies"
        verbose_name = "RFM policy"
        verbose_name_plural = "RFM policies"

    def clean(self) -> None:
        """Raise ValidationError, by field, for invalid cut points and rules."""
        errors = {"rules": rule_errors(self.rules)}
        for dimension in DIMENSIONS:
            errors[f"{dimension}_cuts"] = cut_errors(dimension, getattr(self, f"{dimension}_cuts"), self.kind)
        if found := {field: texts for field, texts in errors.items() if texts}:
            raise ValidationError(found)

    @property
    def fixed_cuts(self) -> CutPoints:
        """The cut points of a fixed policy. A quantile policy has none: its runs compute them (RfmRun.cuts)."""
        return CutPoints.from_json({dimension: getattr(self, f"{dimension}_cuts") for dimension in DIMENSIONS})

    @property
    def group_rules(self) -> list[Rule]:
        """The rules, best group first."""
        return [Rule(**rule) for rule in self.rules]

    def scoring_groups(self) -> list[str]:
        """Group names, best first."""
        return [rule.name for rule in self.group_rules]

    def scoring(self, cuts: CutPoints | None = None) -> Scoring:
        """The scoring by the given cut points (those of a run), or by the policy's fixed ones."""
        return Scoring(cuts or self.fixed_cuts, self.group_rules)
