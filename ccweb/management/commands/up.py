"""manage.py up: the whole system in one terminal; `make run` calls it."""

import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.urls import reverse

from ccweb.embedded.demo_data import ADMIN, admin_password, load_demo
from ccweb.embedded.run_state import STOP_TIMEOUT_SECONDS, only_one, read_run_file, within
from ccweb.embedded.supervisor import Supervisor, accepts
from ccweb.server.worker import end_with

BANNER = """
CC Webapp is running. Ctrl-C stops all processes.

  admin    {url}/admin/   {login}
  API      {url}/api/docs
  logs     {logs}/

Send an action:
  curl -i {url}/api/actions -H 'Content-Type: application/json'{key} -d '{action}'
Read it from Kafka, in another terminal:
  {python} manage.py consume_actions
"""
ACTION = '{"user_id": 7, "action_type": "purchase", "value": "19.99"}'


class Command(BaseCommand):
    """Starts Valkey and the broker, prepares the database, starts the processes, supervises them until Ctrl-C."""

    help = (
        "Runs the web server, the relay and the scheduler (the Procfile), with a Valkey and a Kafka-protocol broker of "
        "its own unless REDIS_URL and KAFKA_BROKER name others, on SQLite unless DATABASE_URL names another."
    )
    requires_system_checks = []

    def handle(self, **options: Any) -> None:
        if os.environ.get("MAKELEVEL"):  # under make: a killed `make run` leaves no process
            end_with(os.getppid(), signal.SIGTERM)
        folder = settings.BASE_DIR / "var"
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)  # also one that an earlier release made: the database and a password are in it
        (folder / "log").mkdir(exist_ok=True)
        try:
            with only_one(folder):
                self._run(folder)
        except (RuntimeError, OSError, DatabaseError) as error:
            raise CommandError(str(error).strip()) from None

    def _run(self, folder: Path) -> None:
        ending = STOP_TIMEOUT_SECONDS if read_run_file(folder) else 0  # the workers of an earlier run that was killed
        if not within(ending, lambda: not accepts(settings.PORT)):
            raise CommandError(f"port {settings.PORT} is taken by another program: PORT=8001 make run takes another")
        supervisor = Supervisor(folder, settings.PORT, self._say)
        try:
            supervisor.start_parts()
            settings.REDIS_URL = supervisor.redis_url  # for the demo's streaks; the settings were read before
            password = self._prepare(folder)
            supervisor.start_workers(health=reverse("healthz"))
            self._say(banner(supervisor.url, folder / "log", password))
            supervisor.watch()
        except KeyboardInterrupt:
            pass
        finally:
            supervisor.stop()

    def _prepare(self, folder: Path) -> str | None:
        """Migrate; load the demo into an empty embedded database. Returns the admin's password if it is known."""
        call_command("migrate", verbosity=0, interactive=False)
        if not os.environ.get("DATABASE_URL") and (run := load_demo()):
            self._say(f"loaded real purchases (the CDNOW sample, moved to today): {run.groups}")
        password = admin_password(folder)
        connections.close_all()
        return password

    def _say(self, text: str) -> None:
        with suppress(OSError):  # the terminal was closed; the log files are still written
            self.stdout.write(text)
            self.stdout.flush()


def banner(url: str, logs: Path, password: str | None) -> str:
    """The text that is shown once all processes run."""
    return BANNER.format(
        url=url,
        logs=os.path.relpath(logs),
        login=f"user {ADMIN}, password {password}" if password else "a superuser of this database",
        key="" if settings.DEBUG else " -H 'Authorization: Api-Key KEY'",
        action=ACTION,
        python=shlex.quote(sys.orig_argv[0]),
    )
