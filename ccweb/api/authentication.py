"""Authentication by `Authorization: Api-Key <key>`, or on the schema's pages by a staff session."""

import logging
import re
import time
from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from ccweb.api.models import LAST_USE_EVERY, ApiKey
from ccweb.db.errors import log_database_error
from ccweb.request.origin import learn

logger = logging.getLogger(__name__)
SCHEME = "Api-Key"
META_KEY = "ccweb.key"
# One text for a key that is missing, unknown, revoked or expired: the answer does not reveal which.
NEEDED = "A valid API key is needed, as the header Authorization: Api-Key <key>."
PREFIX_LENGTH = 8
FORM = re.compile(rf"[A-Za-z0-9]{{{PREFIX_LENGTH}}}\.[A-Za-z0-9]{{32,64}}")
NO_HASH = ApiKey.objects.key_generator.hash("an unknown key takes as long as a known one")
CACHE_SECONDS = 0.5  # a revoked key is refused everywhere within 1 s
REFRESH_TIMEOUT_SECONDS = 0.25  # while one request looks an expired entry up again, others may use it for so long
RETRY_SECONDS = 0.02  # after which they see the new entry
CACHE_KEYS = 10_000
NEVER = (0.0, None)


class Grant(NamedTuple):
    """What a valid key allows."""

    prefix: str
    name: str
    scopes: frozenset[str]


class PresentedKey(NamedTuple):
    """A key that a client sent, valid or not, and its digest."""

    text: str
    digest: str


def presented_key(meta: MutableMapping[str, Any]) -> PresentedKey | None:
    """The key of the Authorization header; None when it has none or another scheme.

    It is read and digested once, and kept in request.META under META_KEY.
    """
    if META_KEY not in meta:
        scheme, _, text = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
        key = text.strip()
        meta[META_KEY] = PresentedKey(key, digest(key)) if scheme.lower() == SCHEME.lower() else None
    found: PresentedKey | None = meta[META_KEY]
    return found


def digest(key: str) -> str:
    """The digest that the cache of grants and the counters use instead of the key."""
    return sha256(key.encode()).hexdigest()[:32]


class KeyCache:
    """Caches the look-ups of this process for CACHE_SECONDS, those of invalid keys too."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, Grant | None]] = {}
        self._refreshing: dict[str, float] = {}  # keys that are being looked up again, with the expiry of their entry

    def get(self, key: PresentedKey) -> Grant | None:
        """What a key allows; None when it is not valid. Raises DatabaseError when the look-up fails."""
        until, grant = self._entries.get(key.digest, NEVER)
        return grant if time.monotonic() < until else self._look_up(key)

    def cached(self, key: PresentedKey) -> tuple[Grant | None, float, bool]:
        """What a key allows by its entry, until when (time.monotonic()), and whether the caller has to refresh it.

        Without an entry the grant is None; it never queries the database. An entry that has expired is used for
        REFRESH_TIMEOUT_SECONDS more; the first caller in that time refreshes it.
        """
        name, now = key.digest, time.monotonic()
        until, grant = self._entries.get(name, NEVER)
        if now < until or grant is None:
            return grant, until, False
        first = self._refreshing.get(name) != until
        self._refreshing[name] = until
        late = now >= until + REFRESH_TIMEOUT_SECONDS
        return None if late else grant, now + RETRY_SECONDS, first and not late

    def refresh(self, key: PresentedKey) -> None:
        """Look up a key that has an entry; without the database the entry stays as it is, and expires."""
        try:
            self._look_up(key)
        except DatabaseError as error:
            log_database_error(error)

    def _look_up(self, key: PresentedKey) -> Grant | None:
        begun, grant = time.monotonic(), look_up(key.text)
        if len(self._entries) >= CACHE_KEYS:
            self._entries.clear()
            self._refreshing.clear()
        self._entries[key.digest] = begun + CACHE_SECONDS, grant
        return grant


KEY_CACHE = KeyCache()


def look_up(key: str) -> Grant | None:
    """Look a key up in the database and update last_used_at, at most once a minute a key."""
    if not FORM.fullmatch(key):
        return None
    now = timezone.now()
    row = ApiKey.objects.usable(now).filter(prefix=key[:PREFIX_LENGTH]).first()
    hashed = ApiKey.objects.key_generator.hash(key)
    if not constant_time_compare(hashed, row.hashed_key if row else NO_HASH) or row is None:
        return None
    if row.last_used_at is None or row.last_used_at < now - LAST_USE_EVERY:
        _touch_last_used(row)
    return Grant(row.prefix, row.name, frozenset(row.scopes))


def _touch_last_used(row: ApiKey) -> None:
    try:
        ApiKey.objects.touch_last_used(row.prefix, timezone.now())
    except DatabaseError as error:  # read-only or locked: no reason to refuse the request
        logger.warning("the last use of the API key %s was not noted: %s", row.prefix, error)


class ApiKeyAuthentication(BaseAuthentication):
    """Sets request.auth to the key's Grant; a key that is not valid is 401 on every route."""

    def authenticate(self, request: Request) -> tuple[None, Grant] | None:
        """The Grant, or None when no key was sent; AuthenticationFailed when it is not valid."""
        key = presented_key(request.META)
        if key is None:
            return None
        grant = KEY_CACHE.get(key)
        if grant is None:
            learn(refused_key=key.text[:PREFIX_LENGTH] if FORM.fullmatch(key.text) else "")
            raise AuthenticationFailed(NEEDED)
        learn(key=grant.prefix, key_name=grant.name)
        return None, grant

    def authenticate_header(self, request: Request) -> str:
        """The WWW-Authenticate header of a 401."""
        return SCHEME


class StaffSession(BaseAuthentication):
    """A signed-in member of staff; for read-only views, because it does not require a CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """The user, or None when the request has no session of an active member of staff."""
        django_request: HttpRequest = request._request
        user = getattr(django_request, "user", None)
        return (user, None) if user is not None and is_signed_in_staff(user) else None


def is_signed_in_staff(user: Any) -> bool:
    """Whether a session's user may see what is for staff; with ADMIN_REQUIRE_OTP only after their second factor."""
    return user.is_active and user.is_staff and (not settings.ADMIN_REQUIRE_OTP or user.is_verified())
