"""Negative control: a naive server that stores the action, produces to Kafka in the view and answers 201."""

import json
import os
import socketserver
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import psycopg
from confluent_kafka import Producer

INSERT = """INSERT INTO user_actions (event_id, user_id, action_type, value, action_timestamp, received_at)
    VALUES (%(event_id)s, %(user_id)s, %(action_type)s, %(value)s, now(), now()) ON CONFLICT DO NOTHING"""
producer = Producer({"bootstrap.servers": os.environ["KAFKA_BROKER"], "acks": "all", "log_level": 0})


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """POST of an action."""
    action = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    with psycopg.connect(os.environ["DATABASE_URL"]) as database:
        database.execute(INSERT, action)
    producer.produce("topic_user_actions", json.dumps(action), str(action["user_id"]))
    producer.poll(0)
    start_response("201 Created", [("Content-Type", "application/json")])
    return [b"{}"]


class ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    """Serves every request in a new thread."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """Writes no access log."""

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ["PORT"]), application, ThreadingServer, QuietHandler).serve_forever()
