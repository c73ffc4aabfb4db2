"""manage.py export_user: the right of access (GDPR, article 15)."""

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand
from django.core.serializers.json import DjangoJSONEncoder

from ccweb.api.user_ids import user_id_argument
from ccweb.privacy import export_user


class Command(BaseCommand):
    """Writes all data of one user to stdout, as one JSON object."""

    help = "Print all data of a user as one JSON object of lists; the summary goes to stderr."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user_id", type=user_id_argument)

    def handle(self, *, user_id: int, **options: Any) -> None:
        """Write the stores row by row: a user may have a million actions."""
        self.stdout.write(f'{{"user_id": {user_id}')
        total = 0
        for name, rows in export_user(user_id):
            self.stdout.write(f', "{name}": [')
            total += self._write_rows(rows)
            self.stdout.write("]")
        self.stdout.write("}")
        self.stderr.write(f"export_user: {total} rows of user {user_id}")

    def _write_rows(self, rows: Iterator[dict[str, Any]]) -> int:
        count = 0
        for count, row in enumerate(rows, start=1):
            self.stdout.write(("," if count > 1 else " ") + json.dumps(row, cls=DjangoJSONEncoder))
        return count
