#!/usr/bin/env python
"""Django's command line for CC Webapp."""

import os
import sys

from ccweb.command_line import execute
from ccweb.embedded.run_state import join_running


def main() -> None:
    """Run one command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ccweb.settings")
    join_running()
    execute(sys.argv)


if __name__ == "__main__":
    main()
