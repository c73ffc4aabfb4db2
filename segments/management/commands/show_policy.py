"""manage.py show_policy: print a revision of a policy as JSON."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from segments.policy_files import KINDS, content_of


class Command(BaseCommand):
    """The output is what publish_policy reads."""

    help = "Print the content of a policy's revision as JSON, by default of the active one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("revision", type=int, nargs="?", metavar="REVISION", help="default: the active one")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = {"active": True} if options["revision"] is None else {"revision": options["revision"]}
        policy = KINDS[options["kind"]].objects.filter(**wanted).first()
        if policy is None:
            raise CommandError(f"there is no {options['kind']} policy with revision {options['revision']}")
        self.stdout.write(json.dumps(content_of(policy), indent=2, ensure_ascii=False))
