"""What users did, and what is still to be told to Kafka."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import connection, models, transaction
from django.db.models import Count, F, Min, TextField
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast
from django.utils import timezone

from ccweb.api.user_ids import MAX_USER_ID
from ccweb.events.event_ids import new_event_id

TOPIC = "topic_user_actions"
ERASURES = "topic_user_erasures"
CHANNEL = "outbox"  # of LISTEN/NOTIFY
RELAY_IDLE_LOCK = 4_201_002  # an advisory lock, see recording.WAKE
# An action's value as an integer. PostgreSQL adds these up in a fraction of the time that decimals take, and SQLite
# exactly, where a sum of floats would fall short of 20.00.
CENTS = "CAST(ROUND(value * 100) AS bigint)"
ACTION_TYPE = r"[A-Za-z][A-Za-z0-9_.:-]{0,63}"


class UserAction(models.Model):
    """One thing one user did. Stored once, never changed; user_id belongs to the web application."""

    event_id = models.UUIDField(unique=True, default=new_event_id)
    user_id = models.BigIntegerField(validators=[MinValueValidator(1), MaxValueValidator(MAX_USER_ID)])
    action_type = models.CharField(
        max_length=64,
        validators=[RegexValidator(rf"\A{ACTION_TYPE}\Z", "A letter, then letters, digits, _ . : - (at most 64).")],
    )
    value = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal("0.00"))
    action_timestamp = models.DateTimeField(default=timezone.now)
    received_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "user_actions"
        ordering = ["-id"]
        indexes = [
            # Everything the RFM aggregate reads, in one index; another one on the timestamp misleads the planner.
            # Without the value beside its cents PostgreSQL would go to the table for it.
            models.Index(
                "user_id",
                "action_timestamp",
                RawSQL(CENTS, []),  # noqa: S611 - our own text
                include=["value"],
                name="user_actions_rfm_cents",
            )
        ]

    def __str__(self) -> str:
        return f"{self.action_type} of user {self.user_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new action and, by the post_save receiver, its outbox row in one transaction.

        Raises ValidationError for a malformed action, an erased user, or an action that is stored already.
        """
        if not self._state.adding:
            raise ValidationError("A stored action is never changed.")
        self.full_clean()
        with transaction.atomic():
            super().save(*args, force_insert=True, **{k: v for k, v in kwargs.items() if k == "using"})


# One statement, which ends without its client: in a transaction a frozen relay would keep the hour locked for the next.
SETTLE = """
WITH delivered AS (DELETE FROM outbox WHERE id = ANY(%s) RETURNING topic, created_at)
INSERT INTO hourly_counts (hour, actions)
SELECT date_trunc('hour', created_at, 'UTC'), count(*) FROM delivered WHERE topic = %s GROUP BY 1
ON CONFLICT (hour) DO UPDATE SET actions = hourly_counts.actions + excluded.actions"""


class HourlyCountQuerySet(models.QuerySet["HourlyCount"]):
    """The counts as the relay keeps them."""

    def add(self, counts: Mapping[datetime, int]) -> None:
        """Add actions to the hours (UTC, whole)."""
        for hour, actions in sorted(counts.items()):
            self.get_or_create(hour=hour)
            self.filter(hour=hour).update(actions=F("actions") + actions)


class HourlyCount(models.Model):
    """How many recorded actions were delivered, by the hour (UTC) of their arrival; user_actions is never scanned."""

    hour = models.DateTimeField(primary_key=True)
    actions = models.BigIntegerField(default=0)

    objects = HourlyCountQuerySet.as_manager()

    class Meta:
        db_table = "hourly_counts"
        ordering = ["-hour"]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}:00 UTC: {self.actions}"


class Message(NamedTuple):
    """An outbox row as the relay needs it: a model instance of each would cost a third more CPU."""

    pk: int
    topic: str
    key: str
    payload: str
    headers: dict[str, Any]


def _decoded(headers: str) -> Any:
    try:
        return orjson.loads(headers)
    except ValueError:
        return headers  # which the relay sets aside, as it does with all that Kafka will never take


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    """The outbox in the relay's words."""

    def waiting(self) -> "OutboxQuerySet":
        """Not yet in Kafka, in the order of delivery."""
        return self.filter(quarantined_at=None).order_by("id")

    def batch(self, size: int, after: int = 0) -> list[Message]:
        """The next to deliver after this id, at most so many."""
        rows = self.waiting().filter(pk__gt=after).values_list(*Message._fields[:-1], Cast("headers", TextField()))
        return [Message._make([*fields, _decoded(headers)]) for *fields, headers in rows[:size]]

    def quarantine(self, pk: int, reason: str) -> bool:
        """Set a message aside, with the reason for people; False when it is gone, as an erased user's is."""
        return bool(self.filter(pk=pk).update(quarantined_at=timezone.now(), error=reason))

    def quarantined(self) -> "OutboxQuerySet":
        """Rejected by Kafka; they stay here until they are re-sent."""
        return self.exclude(quarantined_at=None).order_by("id")

    def backlog(self) -> tuple[int, float]:
        """How many messages wait, and the age of the oldest in seconds (0 when none waits)."""
        found = self.waiting().order_by().aggregate(count=Count("id"), oldest=Min("created_at"))
        oldest: datetime | None = found["oldest"]
        return found["count"], (timezone.now() - oldest).total_seconds() if oldest else 0.0

    def delete_delivered(self, ids: Sequence[int]) -> None:
        """Delete messages that Kafka has confirmed, and count their actions by the hour in which they were queued."""
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(SETTLE, [list(ids), TOPIC])
            return
        with transaction.atomic():
            rows = self.filter(pk__in=ids)
            queued = rows.filter(topic=TOPIC).values_list("created_at", flat=True)
            HourlyCount.objects.add(Counter(at.replace(minute=0, second=0, microsecond=0) for at in queued))
            rows.delete()


class OutboxMessage(models.Model):
    """A message that is committed with its cause and not yet confirmed by Kafka."""

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
