"""manage.py create_api_key NAME --scope S ..."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ccweb.api.models import SCOPES, create_key


class Command(BaseCommand):
    """The key alone goes to stdout, so that a script can take it; what is said about it goes to stderr."""

    help = "Make an API key and print it, once: only its hash is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        """NAME, scopes and days."""
        parser.add_argument("name", help="who uses it, at most 50 characters")
        parser.add_argument("--scope", nargs="+", action="extend", required=True, choices=SCOPES, metavar="S")
        parser.add_argument("--days", type=int, help="how long it is valid; for ever when not given")

    def handle(self, *args: Any, name: str, scope: list[str], days: int | None, **options: Any) -> None:
        """Make it, print it."""
        expires = timezone.now() + timedelta(days=days) if days is not None else None
        try:
            row, key = create_key(name=name, scopes=scope, expires=expires)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        until = f"until {expires:%Y-%m-%d %H:%M} UTC" if expires else "for ever"
        self.stdout.write(key)
        self.stderr.write(f"API key {row.prefix}... of {name}: {', '.join(row.scopes)}, {until}; not shown again")
