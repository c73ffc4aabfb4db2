"""Django's admin with our site in it."""

from django.contrib.admin.apps import AdminConfig


class StaffConfig(AdminConfig):
    """Every app registers with django.contrib.admin as usual; its site is ours."""

    default_site = "ccweb.staff.site.StaffSite"
