"""Base classes of the admin pages of large, append-only tables."""

from typing import Any, cast

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from ccweb.api.user_ids import typed_user_id


class CappedPaginator(Paginator):
    """Counts at most 10,000 rows: a COUNT of millions would take longer than the page; filters reach the rest."""

    most = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, at most `most`."""
        rows = cast(QuerySet, self.object_list)
        return rows.order_by()[: self.most].count()


class LargeTableAdmin(admin.ModelAdmin):
    """A change list whose cost does not grow with the table."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # a COUNT for each choice of each filter
    list_per_page = 100

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """Search for an exact user_id in search_fields[0]: Django's search compares text, which uses no index.

        A table without search_fields is listed whatever is searched for, as by Django.
        """
        if not (search_term and self.search_fields):
            return queryset, False
        user_id = typed_user_id(search_term)
        if user_id is None:
            messages.error(request, f'"{search_term}" is not a user_id: a whole number is expected.')
            return queryset.none(), False
        return queryset.filter(**{self.search_fields[0]: user_id}), False


class ReadOnlyAdmin(LargeTableAdmin):
    """A table that only the system writes; staff can view it but not change it."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
