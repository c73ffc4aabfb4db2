"""The WSGI entry point of the web process."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ccweb.settings")
application = get_wsgi_application()

if settings.RELAY_IN_WEB:
    from actions.publishing import start_thread  # needs the apps to be loaded

    start_thread()
