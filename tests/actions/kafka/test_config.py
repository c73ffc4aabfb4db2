"""What the KAFKA_ variables may hold: every client gets it, and what can never work stops the start with one line."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from actions.kafka.config import check_settings, client, topic_in_kafka
from ccweb import env

SECRET = "geheim.wort"
LOGIN = {"sasl.mechanism": "PLAIN", "sasl.username": "ccweb", "sasl.password": SECRET}
Configure = Callable[..., None]


@pytest.fixture
def configure(settings: Settings) -> Configure:
    def configure(security: dict[str, str], **options: Any) -> None:
        settings.KAFKA_SECURITY = {"security.protocol": "PLAINTEXT"} | security
        settings.KAFKA_OPTIONS = options

    return configure


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("linger.ms=5", {"linger.ms": "5"}),
        ("compression.type=lz4, client.id=a b", {"compression.type": "lz4", "client.id": "a b"}),
        (r"debug=broker\,security,client.id=x", {"debug": "broker,security", "client.id": "x"}),
        (r"ssl.key.password=a=b\\\,c", {"ssl.key.password": "a=b\\,c"}),
    ],
)
def test_options_are_read(monkeypatch: pytest.MonkeyPatch, text: str, options: dict[str, str]) -> None:
    monkeypatch.setenv("KAFKA_OPTIONS", text)
    assert env.options("KAFKA_OPTIONS") == options


@pytest.mark.parametrize("text", ["nonsense", "=5", "linger.ms=5,", "sasl.password=geheim,wort", "client.id=geheim\\"])
def test_malformed_options_are_refused_without_repeating_them(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KAFKA_OPTIONS", text)
    with pytest.raises(ImproperlyConfigured, match="KAFKA_OPTIONS is malformed: expected name=value") as raised:
        env.options("KAFKA_OPTIONS")
    assert "geheim" not in str(raised.value)
    assert "wort" not in str(raised.value)


@pytest.mark.parametrize("text", ["[::1]:9092", "kafka1:9092,[fd00::2]:9093", "127.0.0.1:9092"])
def test_brokers_have_names_or_addresses_of_either_kind(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KAFKA_BROKER", text)
    assert env.addresses("KAFKA_BROKER", "") == text


@pytest.mark.parametrize("text", ["::1:9092", "[::1]", "[kafka]:9092", "kafka:9092,", "kafka"])
def test_other_brokers_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("KAFKA_BROKER", text)
    with pytest.raises(ImproperlyConfigured, match="KAFKA_BROKER is malformed"):
        env.addresses("KAFKA_BROKER", "")


def test_options_replace_our_defaults(configure: Configure) -> None:
    configure({}, **{"client.id": "ccweb-eu", "reconnect.backoff.max.ms": "9000"})
    found = client(**{"reconnect.backoff.max.ms": 1})
    assert (found["client.id"], found["reconnect.backoff.max.ms"]) == ("ccweb-eu", "9000")


def test_the_default_needs_nothing(configure: Configure) -> None:
    configure({})
    check_settings()


def test_a_login_over_tls_is_accepted(configure: Configure) -> None:
    configure({"security.protocol": "SASL_SSL"} | LOGIN)
    check_settings()


def test_all_may_be_given_as_options(configure: Configure) -> None:
    configure({}, **{"security.protocol": "sasl_plaintext"} | LOGIN)
    check_settings()


WRONG = [
    (LOGIN, {}, "KAFKA_SECURITY_PROTOCOL is PLAINTEXT: expected SASL_SSL"),
    ({"ssl.ca.location": "/etc/passwd"}, {}, "KAFKA_SECURITY_PROTOCOL is PLAINTEXT: expected SSL"),
    ({"security.protocol": "SASL_SSL"}, {}, "KAFKA_SASL_MECHANISM is missing"),
    ({"security.protocol": "SASL_SSL"} | LOGIN | {"sasl.username": ""}, {}, "KAFKA_SASL_USERNAME and"),
    ({"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512"}, {}, "SCRAM-SHA-512 needs both"),
    ({"security.protocol": "SSL", "ssl.key.location": "/etc/passwd"}, {}, "KAFKA_SSL_CERT and KAFKA_SSL_KEY belong"),
    ({"security.protocol": "SSL", "ssl.ca.location": "/etc/passwd"}, {}, "ssl.ca.location failed"),
    ({}, {"compresion.type": "lz4"}, 'No such configuration property: "compresion.type"'),
    ({}, {"geheim": ""}, 'No such configuration property: "..."'),
    ({}, {"compression.type": SECRET}, 'Invalid value "..." for configuration property "compression.codec"'),
    ({}, {"linger.ms": "soon"}, 'Invalid value for configuration property "queue.buffering.max.ms"'),
    ({}, {"error_cb": SECRET}, "callable"),
    ({}, {"acks": "1", "transactional.id": "mine"}, "KAFKA_OPTIONS may not set acks, transactional.id"),
]


@pytest.mark.parametrize(("security", "options", "text"), WRONG)
def test_what_can_never_work_is_refused_in_one_line_without_secrets(
    configure: Configure, security: dict[str, str], options: dict[str, str], text: str
) -> None:
    configure(security, **options)
    with pytest.raises(ImproperlyConfigured) as raised:
        check_settings()
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "geheim" not in str(raised.value)


def test_a_prefix_begins_the_names_of_topics(settings: Settings) -> None:
    settings.KAFKA_TOPIC_PREFIX = "staging."
    assert topic_in_kafka("topic_user_actions") == "staging.topic_user_actions"
