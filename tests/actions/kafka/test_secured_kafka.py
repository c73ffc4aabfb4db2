"""Every client of Kafka against real listeners with TLS, client certificates and logins; what is refused is named."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin import AclOperation, ResourceType
from django.test import Client
from pytest_django import Settings

from actions.kafka.config import check_settings
from actions.kafka.consumer import Reader
from actions.kafka.errors import (
    CertificateRefused,
    ConnectionClosed,
    LoginRefused,
    NotAuthorized,
    NotDelivered,
)
from actions.models import RECEIPTS, TOPIC, OutboxMessage
from actions.relay.relay import Relay
from ccweb.db import leader_election
from tests.support.os_processes import wait_for
from tests.support.secured_kafka import PASSWORD, USER, Certificates, SecuredKafka
from tests.support.servers import need

pytestmark = [pytest.mark.django_db, pytest.mark.long]
CLIENT = "relay.example.com"
WAYS = ("PLAINTEXT", "IPV6", "SSL", "PLAIN", "SCRAM-SHA-512")
Choose = Callable[..., None]


@pytest.fixture(scope="module")
def kafka() -> Iterator[SecuredKafka]:
    with need(SecuredKafka) as kafka:
        for principal in (USER, f"CN={CLIENT}"):
            for operation in (AclOperation.CREATE, AclOperation.WRITE, AclOperation.READ):
                for topic in (TOPIC, RECEIPTS):
                    kafka.allow(principal, operation, ResourceType.TOPIC, topic)
            kafka.allow(principal, AclOperation.READ, ResourceType.GROUP, "ccweb-")
            kafka.allow(principal, AclOperation.WRITE, ResourceType.TRANSACTIONAL_ID, "ccweb-relay-")
        yield kafka


@pytest.fixture
def choose(kafka: SecuredKafka, settings: Settings) -> Choose:
    """Configure a way to connect, as the KAFKA_ variables would, with some properties different."""
    certificate, key = kafka.certificates.issue(CLIENT)
    trust = {"ssl.ca.location": kafka.certificates.authority}
    login = {"sasl.username": USER, "sasl.password": PASSWORD}
    ways: dict[str, tuple[str, Mapping[str, str]]] = {
        "PLAINTEXT": (kafka.address, {"security.protocol": "PLAINTEXT"}),
        "IPV6": (kafka.address_of("IPV6"), {"security.protocol": "PLAINTEXT"}),
        "SSL": (
            kafka.address_of("SSL"),
            {"security.protocol": "SSL", "ssl.certificate.location": certificate, "ssl.key.location": key} | trust,
        ),
    }
    for mechanism in ("PLAIN", "SCRAM-SHA-512"):
        security = {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism} | login | trust
        ways[mechanism] = kafka.address_of("SASL_SSL"), security

    def choose(way: str, *, listener: str = "", host: str = "", prefix: str = "", **different: str) -> None:
        settings.KAFKA_BROKER, security = ways[way]
        if listener:
            settings.KAFKA_BROKER = kafka.address_of(listener)
        if host:
            settings.KAFKA_BROKER = settings.KAFKA_BROKER.replace("127.0.0.1", host)
        settings.KAFKA_SECURITY = dict(security) | {name.replace("_", "."): value for name, value in different.items()}
        settings.KAFKA_TOPIC_PREFIX = prefix
        check_settings()

    return choose


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    monkeypatch.setattr(leader_election, "SESSION_TIMEOUT_SECONDS", 600.0)  # else a busy machine costs it the lead
    relay = Relay()
    yield relay
    relay.close()


def queue(payload: str) -> None:
    OutboxMessage.objects.create(topic=TOPIC, key="7", payload=payload)


def answer_of_the_probe() -> dict[str, str]:
    """What /readyz says of Kafka in the end: the first answer may only say that none has come in time."""
    answer: dict[str, str] = {}

    def decided() -> bool:
        answer.update(Client().get("/readyz").json()["kafka"])
        return answer.get("error") != "NoBrokerAnswers"

    wait_for(decided, "an answer of Kafka")
    return answer


@pytest.mark.parametrize("way", WAYS)
def test_relay_consumer_and_probe_use_the_configured_way(choose: Choose, relay: Relay, way: str) -> None:
    choose(way)
    queue(f"by {way}")
    assert relay.step() == 1
    assert relay._producer is not None
    assert relay._producer.fenced
    errors: list[str] = []
    reader = Reader(topic=TOPIC, group=f"ccweb-{way}", from_beginning=True, on_error=errors.append)
    values: list[bytes | None] = []
    wait_for(lambda: values.append(reader.read(0.5)) or f"by {way}".encode() in values, f"the message; {errors}")
    reader.close()
    assert answer_of_the_probe()["status"] == "ok"


REFUSED = [
    ("PLAIN", {"sasl_password": "guessed"}, LoginRefused, "SASL authentication error"),
    ("SCRAM-SHA-512", {"sasl_password": "guessed"}, LoginRefused, "SASL authentication error"),
    ("PLAIN", {"sasl_mechanism": "SCRAM-SHA-256"}, LoginRefused, "supported mechanisms: PLAIN,SCRAM-SHA-512"),
    ("PLAIN", {"ssl_ca_location": "other"}, CertificateRefused, "certificate verify failed"),
    ("SSL", {"ssl_ca_location": "other"}, CertificateRefused, "certificate verify failed"),
    ("SSL", {"host": "localhost", "broker_address_family": "v4"}, CertificateRefused, "certificate verify failed"),
    ("SSL", {"ssl_certificate_location": "", "ssl_key_location": ""}, CertificateRefused, "alert"),
    ("SSL", {"ssl_certificate_location": "other", "ssl_key_location": "other"}, CertificateRefused, "alert"),
    ("PLAINTEXT", {"listener": "SASL_PLAINTEXT"}, ConnectionClosed, ""),
    ("PLAINTEXT", {"listener": "SASL_SSL"}, ConnectionClosed, ""),
    ("PLAIN", {"prefix": "theirs."}, NotAuthorized, "TOPIC_AUTHORIZATION_FAILED"),
]


@pytest.mark.parametrize(("way", "different", "kind", "complaint"), REFUSED)
def test_what_is_refused_is_named_in_the_log_in_readyz_and_on_the_overview(
    choose: Choose,
    relay: Relay,
    admin_client: Client,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    way: str,
    different: dict[str, str],
    kind: type[NotDelivered],
    complaint: str,
) -> None:
    certificate, key = (other := Certificates(tmp_path)).issue(CLIENT)
    paths = {"ssl_ca_location": other.authority, "ssl_certificate_location": certificate, "ssl_key_location": key}
    choose(way, **{name: paths[name] if value == "other" else value for name, value in different.items()})
    queue("kept")
    with pytest.raises(kind) as raised:
        relay.step()
    relay._log_error(raised.value)
    assert f"the relay is blocked ({kind.__name__}: {kind.summary}" in caplog.text
    assert complaint in caplog.text
    answer = answer_of_the_probe()
    assert (answer["status"], answer["error"], answer["detail"]) == ("away", kind.__name__, kind.summary)
    page = admin_client.get("/admin/").content.decode()
    assert f"({kind.__name__}: " in page
    for text in (caplog.text, str(answer), page):
        assert PASSWORD not in text
        assert "guessed" not in text
    assert "127.0.0.1" not in str(answer)
    assert OutboxMessage.objects.waiting().count() == 1


def test_a_missing_permission_for_the_transactional_id_is_named_and_delivery_goes_on(
    choose: Choose, relay: Relay, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actions.kafka.producer.transactional_id", lambda: "somebody-else")
    choose("PLAIN")
    queue("without a transaction")
    assert relay.step() == 1
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "Transactional Id authorization failed" in warning
    assert "somebody-else" in warning
