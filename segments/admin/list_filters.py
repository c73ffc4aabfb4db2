"""Filters of the segments list: choices that are known without asking the table."""

from datetime import timedelta

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from segments.forecasts.exits import Forecast
from segments.models import RfmPolicy

Choices = list[tuple[str, str]]
LEAVING_DAYS = 7


class GroupFilter(SimpleListFilter):
    """By the groups of the active policy."""

    title = "group"
    parameter_name = "rfm_group"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        """The group names, best first."""
        return [(name, name) for name in RfmPolicy.objects.active().scoring_groups()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """The users of the group."""
        return queryset.filter(rfm_group=self.value()) if self.value() else queryset


class ScoreFilter(SimpleListFilter):
    """By one of the three scores."""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        """5 is best."""
        return [(str(score), str(score)) for score in (5, 4, 3, 2, 1)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """The users with the score; a value that is no score is nobody's."""
        score = self.value()
        if score is None:
            return queryset
        known = {text for text, _ in self.lookup_choices}
        return queryset.filter(**{str(self.parameter_name): score}) if score in known else queryset.none()


class RecencyFilter(ScoreFilter):
    """By recency score."""

    title, parameter_name = "recency score", "recency_score"


class FrequencyFilter(ScoreFilter):
    """By frequency score."""

    title, parameter_name = "frequency score", "frequency_score"


class MonetaryFilter(ScoreFilter):
    """By monetary score."""

    title, parameter_name = "monetary score", "monetary_score"


class LeavingFilter(SimpleListFilter):
    """Who leaves a group within a week: the outlook's answer for many."""

    title, parameter_name = "leaving within 7 days", "leaving"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        """Every group but the last, which nobody leaves downwards."""
        return [(name, f"{name}s") for name in RfmPolicy.objects.active().scoring_groups()[:-1]]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """Their segments."""
        group = self.value()
        if group is None:
            return queryset
        if group not in {name for name, _ in self.lookup_choices}:
            return queryset.none()
        return queryset & Forecast(group=group, days=LEAVING_DAYS, now=timezone.now()).segments()


class LastActionFilter(SimpleListFilter):
    """By the age of the last action."""

    title, parameter_name = "last action", "last_action"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        """Days of age at most, or none in the window."""
        return [("1", "today or yesterday"), ("7", "within 7 days"), ("30", "within 30 days"), ("lapsed", "lapsed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """The users with such a last action."""
        choice = self.value()
        if choice in ("1", "7", "30"):
            return queryset.filter(last_action_at__gte=timezone.now() - timedelta(days=int(choice)))
        return queryset.filter(last_action_at=None) if choice == "lapsed" else queryset
