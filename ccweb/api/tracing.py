"""The id that follows a request through the log lines into the Kafka header."""

from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")
