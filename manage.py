#!/usr/bin/env python
"""Django's command line for CC Webapp."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

from ccweb.embedded.run_state import join_running


def main() -> None:
    """Run one command; a malformed setting stops it with one clear line (exit code 1)."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ccweb.settings")
    try:
        join_running()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"ccweb: {error}")


if __name__ == "__main__":
    main()
