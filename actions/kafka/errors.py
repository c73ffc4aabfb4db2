"""What keeps the system from Kafka: one class for each thing that an operator can do about it.

The class and `summary` name no host and no user, so /readyz shows them to everybody. The text of the exception, for the
log and for staff, also holds what librdkafka complains of.
"""

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError
from django.conf import settings


class NotDelivered(Exception):
    """Kafka has not confirmed the batch; it can be retried."""

    summary = "Kafka has not confirmed the messages"


class NoBrokerAnswers(NotDelivered):
    """No connection is accepted, or no answer comes in time."""

    summary = "no Kafka broker answers"


class NameNotResolved(NotDelivered):
    """DNS does not know the host of a broker."""

    summary = "the name of a Kafka broker does not resolve (KAFKA_BROKER)"


class ConnectionClosed(NotDelivered):
    """A broker accepts a connection and closes it: it is about to stop, or expects TLS or a login."""

    summary = "Kafka closes the connection: KAFKA_SECURITY_PROTOCOL may not be what the broker expects there"


class Refused(NotDelivered):
    """Kafka or this client refuses; retries fail until an administrator has changed something."""


class LoginRefused(Refused):
    """Kafka does not accept the login."""

    summary = "Kafka refuses the login: wrong user name or password, or another SASL mechanism"


class CertificateRefused(Refused):
    """TLS fails because one side does not trust the certificate of the other."""

    summary = (
        "a TLS certificate is refused: Kafka's is not trusted here (KAFKA_SSL_CA), or ours is missing or not trusted "
        "there (KAFKA_SSL_CERT)"
    )


class NotAuthorized(Refused):
    """Kafka knows who this is and denies a permission."""

    summary = "Kafka denies a permission: an ACL is missing"


class RecordRejected(Exception):
    """Kafka rejects a message of this batch; a retry would fail again."""


class RecordTooLarge(RecordRejected):
    """A message, or the messages that were sent to a partition together, are larger than Kafka takes."""


TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
REJECTED = {
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.TOPIC_EXCEPTION,  # an invalid topic name
    KafkaError._INVALID_ARG,
}
LOGIN = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM}
ACL = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
Rules = tuple[tuple[type[Exception], Callable[[KafkaError], bool]], ...]
OF_RECORDS: Rules = (
    (RecordTooLarge, lambda error: error.code() in TOO_LARGE),
    (RecordRejected, lambda error: error.code() in REJECTED),
)
# librdkafka reports the refusal of our certificate, and TLS with a listener that has none, as transport errors.
OF_CLUSTER: Rules = (
    (LoginRefused, lambda error: error.code() in LOGIN),
    (NotAuthorized, lambda error: error.code() in ACL),
    (CertificateRefused, lambda error: error.code() == KafkaError._SSL or "SSL routines" in error.str()),
    (NameNotResolved, lambda error: error.code() == KafkaError._RESOLVE),
    (ConnectionClosed, lambda error: "PLAINTEXT broker listener?" in error.str()),
)


def to_exception(
    errors: Sequence[KafkaError], otherwise: type[Exception] = NotDelivered, rules: Rules = OF_RECORDS + OF_CLUSTER
) -> Exception:
    """The exception for these errors: of the first rule that applies to one of them, else of the class `otherwise`."""
    found = [(kind, error) for kind, applies in rules for error in errors if applies(error)]
    kind, decisive = found[0] if found else (otherwise, errors[0] if errors else None)
    told = dict.fromkeys(f"{error.name()}: {error.str()}" for error in (decisive, *errors[-1:]) if error)
    text = "; ".join(told)
    if issubclass(kind, NotDelivered):
        text = f"{kind.summary}, at {settings.KAFKA_BROKER}" + (f": {text}" if text else "")
    return kind(text)


class Complaints:
    """What a client of Kafka says on its own, for its `error_cb`: its calls only tell that time is up."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget what was said, because a broker has answered."""
        self._last: dict[int, KafkaError] = {}  # by code: of several brokers one may be down and one refuse the login
        self.all_brokers_down = False

    def __call__(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.all_brokers_down = True  # which says nothing about the reason
        else:
            self._last.pop(error.code(), None)
            self._last[error.code()] = error

    def all(self) -> list[KafkaError]:
        """The last one of each kind, the most recent last."""
        return list(self._last.values())

    def explain(self, *errors: KafkaError) -> Exception:
        """The exception for a call that no broker has answered; the connection may have been closed without a word."""
        closed = self.all_brokers_down and not self._last
        return to_exception([*errors, *self.all()], ConnectionClosed if closed else NoBrokerAnswers, OF_CLUSTER)
