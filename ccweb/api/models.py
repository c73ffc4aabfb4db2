"""API keys, which requests are checked against, and erased users, which write functions are checked against."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import ClassVar, Self
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone
from rest_framework_api_key.crypto import KeyGenerator
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager

SCOPES = ("actions:write", "actions:read", "visits:write", "visits:read", "segments:read", "segments:write")
SECRET_CHARACTERS = 43  # of 62 kinds: 256 bits
LAST_USE_EVERY = timedelta(minutes=1)


def check_scopes(scopes: Iterable[str]) -> None:
    """ValidationError unless there is at least one scope and all of them exist."""
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise ValidationError(f"Scopes are one or more of {', '.join(SCOPES)}.", code="scopes")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Queries of API keys."""

    def usable(self, now: datetime) -> Self:
        """Neither revoked nor expired."""
        return self.filter(Q(expiry_date=None) | Q(expiry_date__gt=now), revoked=False)

    def touch_last_used(self, prefix: str, now: datetime) -> int:
        """Set last_used_at unless it is less than LAST_USE_EVERY old; returns the rows written, 0 or 1."""
        old = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USE_EVERY)
        return self.filter(old, prefix=prefix).update(last_used_at=now)


class ApiKeyManager(BaseAPIKeyManager.from_queryset(ApiKeyQuerySet)):  # type: ignore[misc]
    """Generates keys; only their SHA-512 is stored, which is enough for 256 random bits."""

    key_generator = KeyGenerator(secret_key_length=SECRET_CHARACTERS)

    def assign_key(self, obj: "ApiKey", prefix: str = "") -> str:
        """Assign a new key to the row and return it; it cannot be read again. The prefix is its public part."""
        generator = self.key_generator
        obj.prefix = prefix or generator.get_prefix()
        obj.id = obj.prefix  # the library puts the hash into the id, and so into URLs and logs of the admin
        key = f"{obj.prefix}.{generator.get_secret_key()}"
        obj.hashed_key = generator.hash(key)
        return key


class ApiKey(AbstractAPIKey):
    """A client's key: a hash, what it may do, until when, and when it was last used (to the minute).

    To rotate: create a second key, move the client, revoke the first. A revoked key stays as a record.
    """

    scopes = models.JSONField(validators=[check_scopes], help_text="What the key may do.")
    last_used_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[ApiKeyManager] = ApiKeyManager()

    class Meta(AbstractAPIKey.Meta):
        db_table = "api_keys"

    def clean(self) -> None:
        """Raise ValidationError for a name that no line of a log or list can show."""
        super().clean()
        if self.name and not (self.name.isprintable() and self.name.strip()):
            raise ValidationError({"name": "Printable characters are expected, and not only blanks."})


def create_key(*, name: str, scopes: Iterable[str], expires: datetime | None = None) -> tuple[ApiKey, str]:
    """Create a key; returns its row and the key itself, which is not stored. Raises ValidationError."""
    row = ApiKey(name=name, scopes=sorted(set(scopes)), expiry_date=expires)
    row.full_clean(exclude=["id", "prefix", "hashed_key"])
    if expires and expires <= timezone.now():
        raise ValidationError("The key would have expired already.", code="expiry")
    key: str = ApiKey.objects.assign_key(row)
    row.save()
    return row, key


class ErasedUser(models.Model):
    """A user whose data was erased, and the receipt of that; later events of this user are refused with 410.

    The token is a keyed digest of the user_id, see ccweb.events.erasure. `counts` are the erased rows by store, null if
    an earlier release erased them.
    """

    token = models.UUIDField(primary_key=True)
    erased_at = models.DateTimeField(default=timezone.now)
    counts = models.JSONField(null=True)

    class Meta:
        db_table = "erased_users"

    def __str__(self) -> str:
        return f"{self.token}, erased {self.erased_at:%Y-%m-%d}"


class DatabaseRecord(models.Model):
    """Which database this was at a time, and what was decided about it; the newest row counts. See ccweb.api.restored.

    `identity` is that of ccweb.db.identity. `deployment` is random and stays with the data: copies have the same.
    """

    class How(models.TextChoices):
        """Why the row was written."""

        NEW = "new", "First start, or without users"
        REPLAYED = "replayed", "Erasures were replayed"
        WAIVED = "waived", "Replay of erasures waived"
        SET_BACK = "set back", "Set back: it lacks erasures that Kafka has"

    deployment = models.UUIDField(default=uuid4)
    identity = models.CharField(max_length=64)
    how = models.CharField(max_length=16, choices=How)
    note = models.TextField(default="")
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "database_records"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.identity}: {self.how}"
