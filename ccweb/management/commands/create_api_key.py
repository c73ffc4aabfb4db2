"""manage.py create_api_key NAME --scope S ..."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ccweb.api.arguments import MAX_DAYS, whole_number
from ccweb.api.models import SCOPES, create_key


class Command(BaseCommand):
    """Prints only the key on stdout, so that a script can read it; its description goes to stderr."""

    help = "Create an API key and print it once: only its hash is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the client that uses the key, at most 50 characters")
        parser.add_argument("--scope", nargs="+", action="extend", required=True, choices=SCOPES, metavar="S")
        parser.add_argument(
            "--days", type=whole_number(1, MAX_DAYS), help="validity in days; without a limit if not given"
        )

    def handle(self, *args: Any, name: str, scope: list[str], days: int | None, **options: Any) -> None:
        expires = timezone.now() + timedelta(days=days) if days is not None else None
        try:
            row, key = create_key(name=name, scopes=scope, expires=expires)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        until = f"until {expires:%Y-%m-%d %H:%M} UTC" if expires else "without expiry"
        self.stdout.write(key)
        self.stderr.write(f"API key {row.prefix}... of {name}: {', '.join(row.scopes)}, {until}; not shown again")
