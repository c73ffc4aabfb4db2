"""The admin site: Django's admin with an overview on its index page and a page for each user."""

from functools import update_wrapper
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from ccweb.admin.login import LimitedLogin
from ccweb.api.authentication import is_signed_in_staff
from ccweb.api.user_ids import MAX_USER_ID, typed_user_id
from ccweb.staff.overview import overview
from ccweb.staff.second_factor import awaits_second_factor, page_of_second_factor, second_factor, set_up
from ccweb.staff.user_page import user_context


class StaffSite(admin.AdminSite):
    """The admin site of this project."""

    site_header = "CC Webapp"
    site_title = "CC Webapp"
    index_title = "Overview"
    index_template = "staff/overview.html"
    enable_nav_sidebar = True
    login_form = LimitedLogin

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """A view for staff only. What the database cannot take, such as NUL in a filter of a list, is 400."""

        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return view(*args, **kwargs)
            except DataError as error:
                raise BadRequest(f"the database refused a value of the request: {error}") from error

        return super().admin_view(update_wrapper(checked, view), cacheable)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Add our pages, before Django's catch-all."""
        pages = [
            path("users/", self.admin_view(self.find_user), name="find_user"),
            path("users/<user_id:user_id>/", self.admin_view(self.user), name="user"),
            path("second-factor/", self.second_factor, name="second_factor"),
            path("second-factor/set-up/", self.set_up_second_factor, name="set_up_second_factor"),
            path("logout/", self.logout, name="logout"),  # Django's own is only for those who have the second factor
        ]
        return [*pages, *super().get_urls()]

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the session may see any page of the admin."""
        return is_signed_in_staff(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page that asks for the password; after it, for the second factor."""
        if request.method == "GET" and awaits_second_factor(request):
            return page_of_second_factor(request)
        return super().login(request, extra_context)

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """The page that asks for the second factor."""
        return second_factor(request, {**self.each_context(request), "title": "Second factor"})

    def set_up_second_factor(self, request: HttpRequest) -> HttpResponse:
        """The page that sets up an authenticator app."""
        return set_up(request, {**self.each_context(request), "title": "Set up your second factor"})

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Add the overview above the list of tables."""
        return super().index(request, {**overview(request.GET), **(extra_context or {})})

    def find_user(self, request: HttpRequest) -> HttpResponse:
        """Redirect from the search field to the user page."""
        if user_id := typed_user_id(request.GET.get("user_id", "")):
            return redirect("admin:user", user_id=user_id)
        messages.error(request, f"A user_id is a whole number from 1 to {MAX_USER_ID}.")
        return redirect("admin:index")

    def user(self, request: HttpRequest, user_id: int) -> HttpResponse:
        """The user page; needs the permission to view segments."""
        if not request.user.has_perm("segments.view_usersegment"):
            return self.login(request)
        context = {
            **self.each_context(request),
            "title": f"User {user_id}",
            "user_id": user_id,
            **user_context(user_id),
        }
        return render(request, "staff/user.html", context)
