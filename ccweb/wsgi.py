"""The web application: `application` for any WSGI server, `server` for granian (RSGI), which the Procfile starts."""

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

from ccweb.redis.client import refuse_cluster  # noqa: E402

try:
    application = get_wsgi_application()
    refuse_cluster()
except ImproperlyConfigured as error:
    worker.give_up(f"ccweb: {error}")

import ccweb.urls  # noqa: E402, F401  load every module before the first request
from actions.fast_path import record_route  # noqa: E402
from ccweb.api import schema  # noqa: E402
from ccweb.logs import gather_lines  # noqa: E402
from ccweb.restore_guard import end_on_restored_database  # noqa: E402
from ccweb.server.event_loop import EventLoop  # noqa: E402
from ccweb.server.request_log import RECORDER  # noqa: E402
from segments.recommendations.fast_path import recommendation_route  # noqa: E402
from segments.streaks.repair_thread import start_thread as start_repair_thread  # noqa: E402

end_on_restored_database()
server = EventLoop(application, [record_route(), recommendation_route()])
schema.build()
worker.end_with_server()

if settings.API_IS_OPEN:
    logging.getLogger("ccweb").warning("DEBUG is on: the API is open to clients on this machine, all others get 403")

if settings.RELAY_IN_WEB:
    from actions.relay.thread import RelayThread  # needs the apps to be loaded

    RelayThread()

start_repair_thread()
RECORDER.gather()
gather_lines()
# Exclude the objects loaded so far, which stay until the end of the process, from garbage collection.
gc.collect()
gc.freeze()
