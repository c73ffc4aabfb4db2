"""The client's address: forwarded headers count from trusted proxies only."""

from ipaddress import ip_network
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings

from ccweb.api.permissions import may_see_metrics
from ccweb.request.client_address import ClientAddress


def resolved(peer: str, forwarded_for: str | None = None, **headers: str) -> HttpRequest:
    if forwarded_for is not None:
        headers["X-Forwarded-For"] = forwarded_for
    request = RequestFactory().get("/", REMOTE_ADDR=peer, headers=headers)
    ClientAddress(lambda _: HttpResponse())(request)
    return request


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("127.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the client itself sent the left one
        ("127.0.0.1", "198.51.100.7, 10.1.2.3", "198.51.100.7"),  # 10.1.2.3 is a trusted proxy
        ("10.1.2.3", "198.51.100.7", "198.51.100.7"),
        ("10.1.2.3", "127.0.0.1", "127.0.0.1"),  # a trusted proxy speaks for its own machine
        ("203.0.113.9", "127.0.0.1", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7, 10.1.2.3", "203.0.113.9"),
        ("127.0.0.1", "nonsense", "unknown"),
        ("127.0.0.1", "1" * 5000, "unknown"),
        ("127.0.0.1", "127.0.0.1, , 127.0.0.1", "127.0.0.1"),
        ("", "127.0.0.1", "unknown"),
    ],
)
def test_the_client_is_the_first_hop_that_is_not_trusted(
    peer: str, forwarded_for: str | None, client: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    assert resolved(peer, forwarded_for).META["REMOTE_ADDR"] == client


@pytest.mark.parametrize(("peer", "is_secure"), [("127.0.0.1", True), ("10.1.2.3", True), ("203.0.113.9", False)])
def test_the_scheme_is_believed_from_trusted_proxies_only(peer: str, is_secure: bool, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    assert resolved(peer, **{"X-Forwarded-Proto": "https"}).is_secure() is is_secure


def answer(peer: str, path: str = "/api/actions", forwarded_for: str | None = None) -> Any:
    headers = {} if forwarded_for is None else {"X-Forwarded-For": forwarded_for}
    return Client(REMOTE_ADDR=peer).get(path, headers=headers)


@pytest.mark.django_db
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1"])
def test_with_debug_on_the_api_is_open_to_this_machine(peer: str) -> None:
    assert answer(peer).status_code == 200


@pytest.mark.parametrize("path", ["/api/actions", "/api/docs", "/admin/login/", "/nothing"])
@pytest.mark.parametrize(
    ("peer", "forwarded_for"), [("203.0.113.9", None), ("203.0.113.9", "127.0.0.1"), ("127.0.0.1", "203.0.113.9")]
)
def test_with_debug_on_other_clients_are_refused(path: str, peer: str, forwarded_for: str | None) -> None:
    refused = answer(peer, path, forwarded_for)
    assert refused.status_code == 403
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("DEBUG is on, so only clients on this machine are answered.")


def test_with_debug_on_an_outside_prober_still_learns_that_the_process_lives() -> None:
    assert answer("203.0.113.9", "/healthz").status_code == 200


@pytest.mark.parametrize(
    ("client", "may"), [("127.0.0.1", True), ("::1", True), ("10.0.0.7", True), ("10.0.1.7", False), ("unknown", False)]
)
def test_metrics_are_for_this_machine_and_for_whom_the_operator_names(
    client: str, may: bool, settings: Settings
) -> None:
    settings.METRICS_ALLOWED = [ip_network("10.0.0.0/24")]
    assert may_see_metrics(resolved(client).META["REMOTE_ADDR"]) is may
