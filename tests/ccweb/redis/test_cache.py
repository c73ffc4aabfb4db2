"""Django's cache and sessions: what somebody else wrote into their stores is never executed."""

from pathlib import Path

import pytest
import redis
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.core.cache import cache
from django.test import Client

from tests.support.traces import hostile_pickle


def test_the_cache_does_not_unpickle_what_stands_in_redis(redis_client: redis.Redis, tmp_path: Path) -> None:
    cache.set("greeting", "hello")
    (key,) = redis_client.keys("*greeting*")
    assert redis_client.get(key) == b'"hello"'
    with hostile_pickle(tmp_path / "executed") as state:
        redis_client.set(key, state)
        with pytest.raises(UnicodeDecodeError):
            cache.get("greeting")


@pytest.mark.django_db
def test_a_session_is_not_unpickled_even_when_it_is_signed(client: Client, tmp_path: Path) -> None:
    session = SessionStore()
    session["greeting"] = "hello"
    session.save()
    with hostile_pickle(tmp_path / "executed") as state:
        signed = signing.TimestampSigner(salt=session.key_salt).sign(signing.b64_encode(state).decode())
        assert Session.objects.filter(session_key=session.session_key).update(session_data=signed) == 1
        client.cookies["sessionid"] = str(session.session_key)
        assert client.get("/admin/").status_code == 302  # to the login page
