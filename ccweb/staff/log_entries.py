"""The staff log (django_admin_log) without an erased user: who did what and when stays, the user's id goes."""

import re
from collections.abc import Iterable

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q

ERASED = "(erased)"
LONGEST_REPR = 200  # characters of object_repr
# A whole number: no part of another one, of a decimal, a date, a time or a percent escape such as %2C, and not a count
# as in "2 of 7 users". {} is the number.
WHOLE_NUMBER = r"(?:(?<=%[\dA-F]{{2}})|(?<!\d)(?<!\d[.:-])(?<!%)(?<!%[\dA-F]))(?<! of ){}(?! of \d)(?!\d|[.:-]\d)"
ESCAPE = re.compile(r"%[\dA-F]{2}")


def scrub(user_id: int, of: Iterable[type[models.Model]]) -> int:
    """Replace the user's id in the log entries about these models; returns how many entries held it.

    The ids stand in the names of rows, in lists of bulk changes and in the filters of exports.
    """
    number = re.compile(WHOLE_NUMBER.format(user_id))
    texts = Q(change_message__contains=str(user_id)) | Q(object_repr__contains=str(user_id))
    entries = _entries(of).filter(texts)
    scrubbed = [entry for entry in entries.iterator() if _scrub(entry, number)]
    LogEntry.objects.bulk_update(scrubbed, ["object_id", "object_repr", "change_message"], batch_size=500)
    return len(scrubbed)


def numbers(of: Iterable[type[models.Model]]) -> set[str]:
    """Every number in the log entries about these models: among them are the ids of users."""
    texts = _entries(of).values_list("object_repr", "change_message").iterator()
    return {number for pair in texts for text in pair for number in re.findall(r"\d+", ESCAPE.sub(" ", text))}


def _entries(of: Iterable[type[models.Model]]) -> models.QuerySet[LogEntry]:
    return LogEntry.objects.filter(content_type__in=ContentType.objects.get_for_models(*of).values())


def _scrub(entry: LogEntry, number: re.Pattern[str]) -> bool:
    """Whether the entry held the number; an entry whose row is the user's, or was, no longer points at it."""
    name, in_name = number.subn(ERASED, entry.object_repr)
    text, in_text = number.subn(ERASED, entry.change_message)
    if in_name:
        entry.object_id = None
    entry.object_repr, entry.change_message = name[:LONGEST_REPR], text
    return bool(in_name or in_text)
