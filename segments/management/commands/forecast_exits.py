"""manage.py forecast_exits: print the users who leave a group in the next days."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ccweb.admin.csv_export import csv_lines
from ccweb.api.arguments import whole_number
from segments.forecasts.exits import MOST_BATCHES, Exit, Forecast, UnknownGroup
from segments.rfm import clock

number_of_days = whole_number(1, MOST_BATCHES, "; later no user is left in the group")


class Command(BaseCommand):
    """The rows go to stdout, the summary line to stderr."""

    help = "Print the users who leave a group within some days without further actions: user, group, date, next group."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=number_of_days, default=7, metavar="N", help="default: %(default)s")
        parser.add_argument("--group", required=True, metavar="G", help="as the active RFM policy names it")
        parser.add_argument("--json", action="store_true", help="one JSON object per line instead of CSV")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            forecast = Forecast(group=options["group"], days=options["days"], now=clock.present())
        except UnknownGroup as unknown:
            raise CommandError(str(unknown)) from None
        rows = forecast.exits()
        lines = map(_json, rows) if options["json"] else csv_lines(Exit._fields, rows)
        count = 0 if options["json"] else -1  # the header
        for line in lines:
            self.stdout.write(line.removesuffix("\r\n"))
            count += 1
        self.stderr.write(
            f"forecast_exits: {count} leave {options['group']} within {options['days']} days if nothing more happens"
        )


def _json(found: Exit) -> str:
    return json.dumps(found._asdict(), default=str)
