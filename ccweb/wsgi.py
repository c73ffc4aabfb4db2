"""The WSGI entry point of the web process; each worker of the server imports it."""

import gc
import logging
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ccweb.settings")

from ccweb.server import worker

worker.end_while_loading()
worker.share_metrics()  # before the first import of prometheus_client

from django.conf import settings  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402

try:
    django = get_wsgi_application()
except ImproperlyConfigured as error:
    worker.give_up(f"ccweb: {error}")

import ccweb.urls  # noqa: E402, F401  load every module before the first request
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

from segments.streaks.repair_thread import start_thread as start_repair_thread  # noqa: E402

start_repair_thread()
gather_lines()
# Exclude the objects loaded so far, which stay until the end of the process, from garbage collection.
gc.collect()
gc.freeze()
