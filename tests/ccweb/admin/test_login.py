"""Signing in to the admin: passwords, and the limit of failed attempts."""

import re
from typing import Any

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import Settings

from ccweb.api.models import ApiKey
from ccweb.settings import PASSWORD_HASHERS

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]
PASSWORD = "a long enough password"


@pytest.fixture(autouse=True)
def boss(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("boss", password=PASSWORD)


def sign_in(password: str, name: str = "boss", address: str = "127.0.0.1") -> Any:
    return Client(REMOTE_ADDR=address).post("/admin/login/?next=/admin/", {"username": name, "password": password})


def test_the_right_password_signs_in_however_often() -> None:
    assert [sign_in(PASSWORD).status_code for _ in range(12)] == [302] * 12


@pytest.mark.usefixtures("fixed_clock")
def test_after_ten_failures_even_the_right_password_must_wait(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        assert b"Please enter the correct" in sign_in("wrong").content
    refused = sign_in(PASSWORD)
    assert refused.status_code == 200
    assert re.search(r"Too many failed attempts. Try again in \d+ min", refused.content.decode())
    assert "sign-in locked out: boss from 127.0.0.1" in caplog.text
    assert sign_in(PASSWORD, address="127.0.0.2").status_code == 302  # no client can lock others out


@pytest.mark.usefixtures("fixed_clock")
def test_spelling_the_name_otherwise_is_no_new_start() -> None:
    for name in ("boss", "Boss", "BOSS", "bOSS", "boSS") * 2:
        sign_in("wrong", name)
    assert b"Too many failed attempts" in sign_in(PASSWORD).content


@pytest.mark.usefixtures("fixed_clock")
def test_one_password_for_many_names_is_limited_by_address() -> None:
    for number in range(100):
        sign_in("wrong", f"user{number}")
    assert b"Too many failed attempts" in sign_in(PASSWORD).content


def test_passwords_are_stored_as_argon2_with_19_mib(boss: Any, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = PASSWORD_HASHERS
    boss.set_password(PASSWORD)
    assert boss.password.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize("password", ["thirteen char", "12345678901234", "boss@example.com"])
def test_weak_passwords_are_refused(password: str, boss: Any) -> None:
    boss.email = "boss@example.com"
    with pytest.raises(ValidationError):
        validate_password(password, boss)


@pytest.fixture
def staff(boss: Any) -> Client:
    client = Client()
    client.force_login(boss)
    return client


def test_the_admin_makes_a_key_and_shows_it_once(staff: Client) -> None:
    made = staff.post("/admin/api/apikey/add/", {"name": "shop", "scopes": ["actions:write", "visits:write"]})
    assert made.status_code == 200
    key = re.search(r'<pre id="key">(.+)</pre>', made.content.decode())[1]
    assert "no-store" in made["Cache-Control"]
    assert "messages" not in made.cookies
    row = ApiKey.objects.get()
    assert (row.name, row.scopes) == ("shop", ["actions:write", "visits:write"])
    assert ApiKey.objects.is_valid(key)
    later = staff.get("/admin/api/apikey/").content + staff.get(f"/admin/api/apikey/{row.pk}/change/").content
    assert key.partition(".")[2] not in later.decode()
    assert row.hashed_key not in later.decode()


def test_a_key_without_a_scope_is_refused(staff: Client) -> None:
    assert b"This field is required" in staff.post("/admin/api/apikey/add/", {"name": "shop"}).content
    assert not ApiKey.objects.exists()


def test_the_admin_revokes_keys_for_good_and_never_deletes_them(staff: Client) -> None:
    keys = [ApiKey.objects.create_key(name=name, scopes=["actions:read"])[0] for name in "ab"]
    chosen = {"action": "revoke", "_selected_action": [key.pk for key in keys]}
    answer = staff.post("/admin/api/apikey/", chosen, follow=True)
    assert b"2 API keys were revoked." in answer.content
    assert set(ApiKey.objects.values_list("revoked", flat=True)) == {True}
    page = f"/admin/api/apikey/{keys[0].pk}/change/"
    assert staff.get(page).status_code == 200
    assert staff.post(page, {"name": "again", "scopes": ["actions:write"]}).status_code == 403
    assert ApiKey.objects.get(pk=keys[0].pk).scopes == ["actions:read"]
    assert ApiKey.objects.get(pk=keys[0].pk).revoked
    assert staff.post(page.replace("change", "delete")).status_code == 403
    assert b"Revoked." in staff.get(page.replace("change", "history")).content


def test_the_library_s_own_keys_are_not_shown(staff: Client) -> None:
    assert staff.get("/admin/rest_framework_api_key/apikey/").status_code == 404
