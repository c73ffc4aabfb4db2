"""Filters of the segments list. Their choices are known without a query of user_segments."""

from datetime import timedelta

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from segments.forecasts.exits import Forecast
from segments.models import RfmPolicy
from segments.rfm import clock

Choices = list[tuple[str, str]]
LEAVING_DAYS = 7


class GroupFilter(SimpleListFilter):
    """Filter by group; the choices are the groups of the active RFM policy, best first."""

    title = "group"
    parameter_name = "rfm_group"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        return [(name, name) for name in RfmPolicy.objects.active().scoring_groups()]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(rfm_group=self.value()) if self.value() else queryset


class ScoreFilter(SimpleListFilter):
    """Filter by one of the three scores, the best first. A value that is no score matches no user."""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        bins = RfmPolicy.objects.active().bins
        return [(str(score), str(score)) for score in range(bins, 0, -1)]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        score = self.value()
        if score is None:
            return queryset
        known = {text for text, _ in self.lookup_choices}
        return queryset.filter(**{str(self.parameter_name): score}) if score in known else queryset.none()


class RecencyFilter(ScoreFilter):
    title, parameter_name = "recency score", "recency_score"


class FrequencyFilter(ScoreFilter):
    title, parameter_name = "frequency score", "frequency_score"


class MonetaryFilter(ScoreFilter):
    title, parameter_name = "monetary score", "monetary_score"


class LeavingFilter(SimpleListFilter):
    """Filter for the users whose outlook says that they leave a group within 7 days."""

    title, parameter_name = "leaving within 7 days", "leaving"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        """Every group but the last: no group is below it."""
        return [(name, name) for name in RfmPolicy.objects.active().scoring_groups()[:-1]]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        group = self.value()
        if group is None:
            return queryset
        if group not in {name for name, _ in self.lookup_choices}:
            return queryset.none()
        return queryset & Forecast(group=group, days=LEAVING_DAYS, now=clock.present()).segments()


class LastActionFilter(SimpleListFilter):
    """Filter by the age of the last action in days; "lapsed" is no activity in the window."""

    title, parameter_name = "last action", "last_action"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> Choices:
        return [("1", "today or yesterday"), ("7", "within 7 days"), ("30", "within 30 days"), ("lapsed", "lapsed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        choice = self.value()
        if choice in ("1", "7", "30"):
            return queryset.filter(last_action_at__gte=timezone.now() - timedelta(days=int(choice)))
        return queryset.filter(frequency=0) if choice == "lapsed" else queryset
