"""The admin of the rules: RFM policies."""

from typing import Any

from django.contrib import admin

from segments.models import RfmPolicy
from segments.policies import publish_rfm_policy
from segments.revision_admin import RevisionAdmin
from segments.rfm import preview_rfm


@admin.register(RfmPolicy)
class RfmPolicyAdmin(RevisionAdmin):
    """By which rules users are sorted into groups; in force from the next run on."""

    content = ("kind", "recency_cuts", "frequency_cuts", "monetary_cuts", "rules")
    preview_template = "segments/preview_rfm.html"
    list_display = ("revision", "active", "kind", "created_at", "created_by", "note")

    def preview(self, revision: Any) -> dict[str, Any]:
        """Who would move from where to where, as of now; the batch itself without the writing."""
        outcome = preview_rfm(policy=revision)
        moved = sum(move.users for move in outcome.moves)
        return {"users": outcome.users, "moved": moved, "moves": outcome.moves, "groups": outcome.groups}

    def publish(self, **content: Any) -> RfmPolicy:
        """The write door."""
        return publish_rfm_policy(**content)
