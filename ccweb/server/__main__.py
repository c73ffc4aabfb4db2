"""python -m ccweb.server: granian's command line, once it is certain that its workers can read the settings.

Without this a worker would say what is wrong and end, and granian would start another one, or end with exit code 0.
"""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from granian.cli import entrypoint

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ccweb.settings")


def check_settings() -> None:
    """End with one line and exit code 1 if the settings cannot be read.

    They are read by another process: a worker is a fork of this one, and has to read them anew after a SIGHUP.
    """
    if child := os.fork():
        if os.waitpid(child, 0)[1]:
            sys.exit(1)
        return
    try:
        settings.SECRET_KEY  # noqa: B018
    except ImproperlyConfigured as error:
        print(f"ccweb: {error}", file=sys.stderr)  # noqa: T201  logging is not configured yet
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    check_settings()
    entrypoint()  # type: ignore[no-untyped-call]
