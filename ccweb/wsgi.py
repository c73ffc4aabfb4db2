"""The WSGI entry point of the web process; each worker of the server imports it for itself."""

import gc
import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ccweb.settings")

from ccweb.server import worker

worker.end_while_loading()
worker.share_metrics()  # before anything imports prometheus_client

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

try:
    django = get_wsgi_application()
except ImproperlyConfigured as error:
    worker.give_up(f"ccweb: {error}")

import ccweb.urls  # noqa: E402, F401  every module is loaded before the first request comes
from actions.fast_path import record_route  # noqa: E402
from ccweb.logs import gather_lines  # noqa: E402
from ccweb.server.fast_path import FastPath  # noqa: E402
from ccweb.server.request_scope import in_slot, scoped  # noqa: E402
from segments.recommendations.fast_path import recommendation_route  # noqa: E402

application = worker.only_the_request(scoped(FastPath(in_slot(django), [record_route(), recommendation_route()])))
worker.end_with_server()

if settings.API_IS_OPEN:
    logging.getLogger("ccweb").warning("DEBUG is on: the API is open to clients on this machine, all others get 403")

if settings.RELAY_IN_WEB:
    from actions.relay.thread import RelayThread  # needs the apps to be loaded

    RelayThread()

from segments.streaks.repair_thread import start_thread as keep_streaks  # noqa: E402

keep_streaks()
gather_lines()
# What is loaded now stays: the collector need not look through it again and again.
gc.collect()
gc.freeze()
