"""The configuration of the admin app with this project's site."""

from django.contrib.admin.apps import AdminConfig


class StaffConfig(AdminConfig):
    """Makes StaffSite the default admin site, with which every app registers as usual."""

    default_site = "ccweb.staff.site.StaffSite"
