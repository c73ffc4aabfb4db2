"""manage.py publish_policy: publish a policy from a file of JSON."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from segments.policy_files import KINDS, UnreadablePolicy, read_content
from segments.publishing import errors_of, publish_policies
from segments.rfm.policies import type_warnings

AUTHOR = "manage.py publish_policy"


class Command(BaseCommand):
    """Nothing is changed unless everything is valid."""

    help = (
        "Publish a policy from a file as show_policy prints it; fields that are left out have their defaults. An RFM "
        "policy that renames or drops groups which recommendation rules name is published together with one that does "
        "not (--with)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("file", metavar="FILE", help="JSON, - for standard input")
        parser.add_argument("--note", default="", help="why, for those who come after")
        parser.add_argument(
            "--with", dest="other", metavar="FILE", help="a policy of the other kind, published in the same transaction"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line with the revision, or end with 1 and a line for each fault, naming the field."""
        (other,) = KINDS.keys() - {options["kind"]}
        files = {options["kind"]: options["file"]} | ({other: options["other"]} if options["other"] else {})
        try:
            contents = {kind: read_content(file, kind) for kind, file in files.items()}
        except UnreadablePolicy as error:
            raise CommandError(str(error)) from None
        if options["note"]:
            contents = {kind: content | {"note": options["note"]} for kind, content in contents.items()}
        try:
            published = publish_policies(
                rfm=contents.get("rfm"), recommendation=contents.get("recommendation"), created_by=AUTHOR
            )
        except ValidationError as error:
            raise CommandError("\n".join(f"{field}: {text}" for field, text in errors_of(error))) from None
        if published.rfm:
            for warning in type_warnings(published.rfm):
                self.stderr.write(f"warning: {warning}")
        revisions = [f"{kind} policy {getattr(published, kind).revision}" for kind in contents]
        run = "; a run is requested, until it is done users are in their old groups" if published.run_requested else ""
        self.stdout.write(f"publish_policy: {' and '.join(revisions)} in force{run}")
