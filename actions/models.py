"""Actions of users, the outbox of messages to Kafka, and hourly counts of published actions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.core.validators import RegexValidator
from django.db import connection, models, transaction
from django.db.models import Count, F, Min, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from django.utils import timezone

from ccweb.events.models import RecordedEvent

TOPIC = "topic_user_actions"
ERASURES = "topic_user_erasures"
RECEIPTS = "erasures"  # compacted; what manage.py replay_erasures reads after a restore
CHANNEL = "outbox"  # of LISTEN/NOTIFY
RELAY_IDLE_LOCK = 4_201_002  # an advisory lock, see WAKE in outbox.py
# An action's value as an integer. PostgreSQL sums integers in a fraction of the time of decimals; SQLite sums them
# exactly, where a sum of floats may be less than 20.00.
CENTS = "CAST(ROUND(value * 100) AS bigint)"
ORDER_ID_LENGTH = 64
ACTION_TYPE = r"[A-Za-z][A-Za-z0-9_.:-]{0,63}"


class UserAction(RecordedEvent):
    """One action of one user; saving it also queues its message, see receivers.py."""

    TIME = "action_timestamp"

    action_type = models.CharField(
        max_length=64,
        validators=[RegexValidator(rf"\A{ACTION_TYPE}\Z", "A letter, then letters, digits, _ . : - (at most 64).")],
    )
    value = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal("0.00"))
    action_timestamp = models.DateTimeField(default=timezone.now)
    order_id = models.CharField(  # noqa: DJ001 - null is no order; an empty text would be one
        max_length=ORDER_ID_LENGTH,
        null=True,
        blank=True,
        default=None,
        help_text="The order that the action belongs to: its actions may count as one for frequency.",
    )
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    # The prefix of the API key that sent it; null for what was imported, added by staff or sent without a key.
    recorded_by = models.CharField(max_length=8, null=True, editable=False)  # noqa: DJ001

    class Meta:
        db_table = "user_actions"
        ordering = ["-id"]
        indexes = [
            # All that the RFM aggregate reads, in one index; a second one on the timestamp misleads the planner.
            # Without the value in INCLUDE, PostgreSQL would read it from the table.
            models.Index(
                "user_id",
                "action_timestamp",
                RawSQL(CENTS, []),  # noqa: S611 - a constant
                include=["value"],
                name="user_actions_rfm_cents",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action_type} of user {self.user_id}"


# A single statement, which PostgreSQL completes without its client: a relay that froze inside a transaction would keep
# the row of the hour locked for the next leader.
DELETE_DELIVERED = """
WITH delivered AS (DELETE FROM outbox WHERE id = ANY(%s) RETURNING topic, created_at)
INSERT INTO hourly_counts (hour, actions)
SELECT date_trunc('hour', created_at, 'UTC'), count(*) FROM delivered WHERE topic = %s GROUP BY 1
ON CONFLICT (hour) DO UPDATE SET actions = hourly_counts.actions + excluded.actions"""


class HourlyCountQuerySet(models.QuerySet["HourlyCount"]):
    """Updates of the hourly counts, on databases other than PostgreSQL."""

    def add(self, counts: Mapping[datetime, int]) -> None:
        """Add numbers of actions to hours (UTC, whole hours)."""
        for hour, actions in sorted(counts.items()):
            self.get_or_create(hour=hour)
            self.filter(hour=hour).update(actions=F("actions") + actions)


class HourlyCount(models.Model):
    """Number of delivered actions by the hour (UTC) in which they were queued; reading it scans no user_actions."""

    hour = models.DateTimeField(primary_key=True)
    actions = models.BigIntegerField(default=0)

    objects = HourlyCountQuerySet.as_manager()

    class Meta:
        db_table = "hourly_counts"
        ordering = ["-hour"]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 UTC: {self.actions}"


class Message(NamedTuple):
    """An outbox row as the relay reads it; model instances would cost a third more CPU."""

    pk: int
    topic: str
    key: str
    payload: str
    headers: dict[str, Any]


def _decoded(headers: str) -> Any:
    try:
        return orjson.loads(headers)
    except ValueError:
        return headers  # invalid: the relay quarantines the message


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    """Queries of the relay."""

    def waiting(self) -> "OutboxQuerySet":
        """Messages that are not yet in Kafka and not quarantined, in the order of delivery."""
        return self.filter(quarantined_at=None).order_by("id")

    def batch(self, size: int, after: int = 0) -> list[Message]:
        """The next waiting messages with an id greater than `after`, at most `size`."""
        rows = self.waiting().filter(pk__gt=after).values_list(*Message._fields[:-1], Cast("headers", TextField()))
        return [Message._make([*fields, _decoded(headers)]) for *fields, headers in rows[:size]]

    def quarantine(self, pk: int, reason: str) -> bool:
        """Quarantine a message with the reason for staff; False when it is deleted, as by the erasure of its user."""
        return bool(self.filter(pk=pk).update(quarantined_at=timezone.now(), error=reason))

    def quarantined(self) -> "OutboxQuerySet":
        """Messages that Kafka rejected; staff may re-send them."""
        return self.exclude(quarantined_at=None).order_by("id")

    def backlog(self) -> tuple[int, float]:
        """The number of waiting messages and the age of the oldest in seconds (0 when there is none)."""
        found = self.waiting().order_by().aggregate(count=Count("id"), oldest=Min("created_at"))
        oldest: datetime | None = found["oldest"]
        return found["count"], (timezone.now() - oldest).total_seconds() if oldest else 0.0

    def delete_delivered(self, ids: Sequence[int]) -> None:
        """Delete messages that Kafka has confirmed, and add their actions to the hours in which they were queued."""
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(DELETE_DELIVERED, [list(ids), TOPIC])
            return
        with transaction.atomic():
            rows = self.filter(pk__in=ids)
            queued = rows.filter(topic=TOPIC).values_list("created_at", flat=True)
            HourlyCount.objects.add(Counter(at.replace(minute=0, second=0, microsecond=0) for at in queued))
            rows.delete()


class OutboxMessage(models.Model):
    """A message to Kafka, committed together with the row it is about and deleted once Kafka has confirmed it."""

    topic = models.CharField(max_length=249)
    key = models.CharField(max_length=64)
    payload = models.TextField()
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    quarantined_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(default="", blank=True)

    objects = OutboxQuerySet.as_manager()

    class Meta:
        db_table = "outbox"
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.topic} #{self.pk}"
