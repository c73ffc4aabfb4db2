"""What Kafka's errors mean to the relay."""

from collections.abc import Iterable, Sequence

from confluent_kafka import KafkaError

POISON = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.TOPIC_EXCEPTION,  # a name that no topic may have
    KafkaError._INVALID_ARG,
}
FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
}
NO_PLACE_HERE = {  # for good, where nobody changes the cluster
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.OFFSET_METADATA_TOO_LARGE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


class Undelivered(Exception):
    """The batch is not confirmed; trying it again later is right."""


class Forbidden(Undelivered):
    """Kafka's permissions are wrong; somebody has to change them."""


class Placeless(Undelivered):
    """The batch is too large for this cluster, which does not keep its place."""


class Poison(Exception):
    """Kafka will never take a message of this batch."""


def translated(errors: Sequence[KafkaError], heard: Iterable[KafkaError]) -> Exception:
    """What to raise for these errors of a batch; `heard` is what else the client complained of lately."""
    for kind, codes in ((Poison, POISON), (Forbidden, FORBIDDEN)):
        for error in errors:
            if error.code() in codes:
                return kind(f"{error.name()}: {error.str()}")
    return Undelivered("; ".join(f"{error.name()}: {error.str()}" for error in [errors[0], *heard]))
