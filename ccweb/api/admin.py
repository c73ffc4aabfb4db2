"""What the admin pages of large, append-only tables have in common."""

from typing import Any, cast

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST_ROWS_COUNTED = 10_000


class CappedPaginator(Paginator):
    """Counts at most 10,000 rows: a COUNT of millions would cost more than the page; filters reach the rest."""

    @cached_property
    def count(self) -> int:
        """How many rows the pages hold, at most 10,000."""
        rows = cast(QuerySet, self.object_list)
        return rows.order_by()[:MOST_ROWS_COUNTED].count()


class LargeTableAdmin(admin.ModelAdmin):
    """A list page whose cost does not grow with the table."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 100


class ReadOnlyAdmin(LargeTableAdmin):
    """Rows that only the system writes: editing them would lie."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
