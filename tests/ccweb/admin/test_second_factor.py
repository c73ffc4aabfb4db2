"""The second factor of staff, as HTTP in and pages out: setting it up, codes, recovery codes, a lost phone."""

import re
import time
from base64 import b32decode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import URLPattern, URLResolver
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings

from segments.models import UserSegment

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client", "required", "boss")]
PASSWORD = "a long enough password"
ASKS, SETS_UP = "/admin/second-factor/", "/admin/second-factor/set-up/"
STEP_SECONDS = 30


@pytest.fixture
def required(settings: Settings) -> None:
    settings.ADMIN_REQUIRE_OTP = True


@pytest.fixture
def boss(django_user_model: Any) -> Any:
    return django_user_model.objects.create_superuser("boss", password=PASSWORD)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        yield clock


def with_password(path: str = "/admin/", address: str = "127.0.0.1") -> tuple[Client, Any]:
    """A browser after the password, and the page it was led to."""
    client = Client(REMOTE_ADDR=address)
    form = {"username": "boss", "password": PASSWORD}
    return client, client.post(f"/admin/login/?next={path}", form | {"next": path}, follow=True)


def secret_on(page: Any) -> str:
    return re.search(r'<code id="secret">([A-Z2-7 ]+)</code>', page.content.decode())[1].replace(" ", "")


def code_of(secret: str) -> str:
    """What an app shows now."""
    totp = TOTP(b32decode(secret))
    totp.time = time.time()
    return f"{totp.token():06}"


def enrolled() -> tuple[Client, str, list[str]]:
    """A browser that is signed in, the secret of its app, and the recovery codes."""
    client, page = with_password()
    secret = secret_on(page)
    done = client.post(SETS_UP, {"code": code_of(secret)})
    return client, secret, re.findall(r"<li><code>(.+?)</code></li>", done.content.decode())


def give(client: Client, code: str, **more: str) -> Any:
    return client.post(ASKS, {"code": code, **more})


def sees_the_admin(client: Client) -> bool:
    return client.get("/admin/auth/user/").status_code == 200


def test_the_first_sign_in_leads_to_a_page_that_sets_up_an_app() -> None:
    client, page = with_password("/admin/auth/user/")
    assert page.redirect_chain[-1][0].startswith(SETS_UP)
    assert "no-store" in page["Cache-Control"]
    assert 'src="data:image/svg+xml' in page.content.decode()
    assert not sees_the_admin(client)
    done = client.post(SETS_UP, {"code": code_of(secret_on(page)), "next": "/admin/auth/user/"})
    assert "no-store" in done["Cache-Control"]
    assert len(set(re.findall("<code>[a-z2-7]{4}-[a-z2-7]{4}</code>", done.content.decode()))) == 10
    assert 'href="/admin/auth/user/"' in done.content.decode()
    assert sees_the_admin(client)
    assert LogEntry.objects.get().get_change_message() == "Set up a second factor."


def test_a_wrong_code_sets_nothing_up_and_keeps_the_secret() -> None:
    client, page = with_password()
    wrong = client.post(SETS_UP, {"code": "000000"})
    assert "This code is wrong" in wrong.content.decode()
    assert secret_on(wrong) == secret_on(page)
    assert not TOTPDevice.objects.exists()
    assert not sees_the_admin(client)


def test_two_who_know_the_password_do_not_see_one_secret_and_the_first_wins() -> None:
    (owner, page), (other, another) = with_password(), with_password()
    assert secret_on(page) != secret_on(another)
    owner.post(SETS_UP, {"code": code_of(secret_on(page))})
    assert other.post(SETS_UP, {"code": code_of(secret_on(another))}).status_code == 302
    assert sees_the_admin(owner) and not sees_the_admin(other)
    assert other.get("/admin/", follow=True).redirect_chain[-1][0].startswith(f"{ASKS}?")


def test_later_sign_ins_ask_for_a_code_and_go_on_to_the_page(
    clock: time_machine.Traveller, caplog: pytest.LogCaptureFixture
) -> None:
    _, secret, _ = enrolled()
    clock.shift(STEP_SECONDS)
    client, page = with_password("/admin/auth/user/?q=boss")
    address, _ = page.redirect_chain[-1]
    assert urlsplit(address).path == ASKS
    assert parse_qs(urlsplit(address).query)["next"] == ["/admin/auth/user/?q=boss"]
    code = code_of(secret)
    answer = give(client, f"{code[:3]} {code[3:]}", next="/admin/auth/user/?q=boss")  # as apps show it
    assert (answer.status_code, answer["Location"]) == (302, "/admin/auth/user/?q=boss")
    assert sees_the_admin(client)
    assert "boss gave a code of the authenticator app from 127.0.0.1" in caplog.text


def test_the_page_leads_to_no_other_site(clock: time_machine.Traveller) -> None:
    _, secret, _ = enrolled()
    clock.shift(STEP_SECONDS)
    client, _ = with_password()
    assert "evil" not in client.get(ASKS, {"next": "https://evil.example"}).content.decode()
    assert give(client, code_of(secret), next="//evil.example/")["Location"] == "/admin/"


@pytest.mark.parametrize("seconds", [0, STEP_SECONDS - 1])
def test_a_code_is_taken_once(seconds: int, clock: time_machine.Traveller) -> None:
    _, secret, _ = enrolled()
    code = code_of(secret)
    clock.shift(seconds)
    client, _ = with_password()
    assert "was used before" in give(client, code).content.decode()
    assert not sees_the_admin(client)


@pytest.mark.parametrize("code", ["000000", "", "abcd-efgh", "٠٠٠٠٠٠", "1" * 100, "-1", "1e5", "12345"])
def test_a_wrong_code_lets_nobody_in(code: str, caplog: pytest.LogCaptureFixture) -> None:
    enrolled()
    client, _ = with_password()
    assert give(client, code).status_code == 200
    assert not sees_the_admin(client)
    if len(code) in range(1, 21):
        assert "wrong second factor: boss from 127.0.0.1" in caplog.text


def test_after_wrong_codes_even_the_right_one_has_to_wait(clock: time_machine.Traveller) -> None:
    _, secret, _ = enrolled()
    clock.shift(STEP_SECONDS)
    client, _ = with_password()
    for seconds in (1, 2, 4, 8):
        give(client, "000000")
        assert f"Too many wrong codes. Try again in {seconds} s." in give(client, code_of(secret)).content.decode()
        clock.shift(seconds)
    assert give(client, code_of(secret)).status_code == 302


def test_codes_count_in_the_limit_of_failed_attempts() -> None:
    _, _, recovery = enrolled()
    client, _ = with_password()
    for _ in range(10):
        give(client, "000000")
    assert re.search(r"Too many failed attempts. Try again in \d+ min", give(client, recovery[0]).content.decode())
    assert not sees_the_admin(client)
    elsewhere, _ = with_password(address="127.0.0.2")
    assert give(elsewhere, recovery[0]).status_code == 302
    assert sees_the_admin(elsewhere)


def test_a_recovery_code_is_taken_once_and_is_told() -> None:
    _, _, (first, *others) = enrolled()
    client, _ = with_password()
    assert give(client, first.upper().replace("-", "")).status_code == 302
    assert "You signed in by a recovery code, 9 are left." in client.get("/admin/").content.decode()
    assert "Signed in by a recovery code, 9 left." in {entry.get_change_message() for entry in LogEntry.objects.all()}
    again, _ = with_password()
    assert "was used before" in give(again, first).content.decode()
    assert not sees_the_admin(again)


def test_another_app_replaces_the_first_and_ends_what_it_had_verified(clock: time_machine.Traveller) -> None:
    client, old, (recovery, *_) = enrolled()
    clock.shift(STEP_SECONDS)
    elsewhere, _ = with_password()
    give(elsewhere, code_of(old))
    assert sees_the_admin(elsewhere)
    page = client.get(SETS_UP)
    assert "replaces the one you use now" in page.content.decode()
    assert client.post(SETS_UP, {"code": code_of(secret_on(page))}).status_code == 200
    assert sees_the_admin(client) and not sees_the_admin(elsewhere)
    clock.shift(STEP_SECONDS)
    for code in (code_of(old), recovery):
        assert "This code is wrong" in give(elsewhere, code).content.decode()


def test_a_lost_phone_is_removed_by_a_command(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client, _, _ = enrolled()
    call_command("reset_otp", "boss")
    assert capsys.readouterr().out == "reset_otp: boss sets up a new second factor when they next sign in\n"
    assert "the second factor of boss was removed by manage.py reset_otp" in caplog.text
    assert LogEntry.objects.latest("pk").get_change_message() == "The second factor was removed by manage.py reset_otp."
    assert not sees_the_admin(client)
    assert with_password()[1].redirect_chain[-1][0].startswith(SETS_UP)
    with pytest.raises(CommandError, match="boss has no second factor"):
        call_command("reset_otp", "boss")
    with pytest.raises(CommandError, match="there is no user nobody"):
        call_command("reset_otp", "nobody")


def test_who_is_half_signed_in_can_log_out() -> None:
    client, _ = with_password()
    assert client.post("/admin/logout/").status_code == 200
    assert client.get(SETS_UP)["Location"] == "/admin/"
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_without_the_switch_the_password_is_enough(settings: Settings) -> None:
    settings.ADMIN_REQUIRE_OTP = False
    client, page = with_password("/admin/auth/user/")
    assert page.redirect_chain == [("/admin/auth/user/", 302)]
    assert sees_the_admin(client)
    assert [client.get(path)["Location"] for path in (ASKS, SETS_UP)] == ["/admin/", "/admin/"]


def pages(patterns: list[URLPattern | URLResolver], start: str = "/admin/") -> Iterator[str]:
    for pattern in patterns:
        path = start + re.sub(r"\(\?P<.*?\)|<.*?>", "7", str(pattern.pattern)).strip("^$").replace(r"\Z", "")
        yield from pages(pattern.url_patterns, path) if isinstance(pattern, URLResolver) else [path]


def test_every_page_of_the_admin_is_behind_it(boss: Any) -> None:
    UserSegment.objects.create(user_id=7)
    client, _ = with_password()
    found = set(pages(admin.site.urls[0])) - {"/admin/login/", "/admin/logout/", ASKS, SETS_UP}
    assert len(found) > 60 and {"/admin/", "/admin/users/7/", "/admin/segments/usersegment/7/change/"} <= found
    for path in found:
        for answer in (client.get(path), client.post(path)):
            assert (answer.status_code, urlsplit(answer["Location"]).path) == (302, "/admin/login/"), path
    assert {row.username for row in type(boss).objects.all()} == {"boss"}


@pytest.mark.parametrize("path", ["/api/docs", "/api/schema"])
def test_the_documentation_of_the_api_is_behind_it(path: str, settings: Settings) -> None:
    settings.API_IS_OPEN = False
    client, page = with_password()
    assert client.get(path).status_code == 401
    client.post(SETS_UP, {"code": code_of(secret_on(page))})
    assert client.get(path).status_code == 200


def test_secrets_of_apps_are_not_shown_in_the_admin() -> None:
    client, _, _ = enrolled()
    for path in ("/admin/otp_totp/totpdevice/", "/admin/otp_static/staticdevice/"):
        assert client.get(path).status_code == 404
