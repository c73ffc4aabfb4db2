"""Django in the event loop's threads."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from ccweb.request import deadline
from ccweb.server import django_threads
from ccweb.server.batching import TooLate
from ccweb.server.django_threads import DjangoThreads, HttpAnswer, environ_of
from tests.support.rsgi import Request

TIMEOUT_SECONDS = 60


class Application(WSGIHandler):
    """Answers by a function of the environment."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        self._answer = answer

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        response = self._answer(environ)
        start_response("", list(response.items()))
        return response


@pytest.fixture
def serve() -> Iterator[Callable[..., list[Any]]]:
    """Answers requests to these paths, sent at once."""
    made: list[DjangoThreads] = []

    def run(answer: Callable[[dict[str, Any]], Any], *paths: str) -> list[Any]:
        made.append(DjangoThreads(Application(answer)))

        async def ask() -> list[Any]:
            environs = [environ_of(Request("GET", path).scope(), {}, b"") for path in paths]
            asked = [made[-1].answer(environ, time.monotonic() + 4) for environ in environs]
            return await asyncio.gather(*asked, return_exceptions=True)

        return asyncio.run(ask())

    yield run
    for threads in made:
        threads.close()


def content_of(answer: HttpAnswer) -> bytes:
    if not answer.file:
        return answer.content
    if not answer.is_temporary:
        return b"named " + answer.file.encode()
    content = Path(answer.file).read_bytes()
    Path(answer.file).unlink()
    return content


def test_an_answer_has_its_content_and_a_request_its_deadline(serve: Callable[..., list[Any]]) -> None:
    (answer,) = serve(lambda environ: HttpResponse(f"{environ['PATH_INFO']} {deadline.time_left() > 3}"), "/a")
    assert (answer.status, answer.content) == (200, b"/a True")


def test_a_stream_becomes_a_file_so_that_a_slow_reader_keeps_no_thread(serve: Callable[..., list[Any]]) -> None:
    def lines() -> Iterator[bytes]:
        assert deadline.time_left() == float("inf")  # an export may take longer than a request
        yield from (b"a line\n" for _ in range(10_000))

    (answer,) = serve(lambda environ: StreamingHttpResponse(lines()), "/export")
    assert dict(answer.headers)["Content-Length"] == "70000"
    assert content_of(answer) == b"a line\n" * 10_000


def test_a_stream_that_fails_leaves_no_file(
    serve: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lines() -> Iterator[bytes]:
        yield from (b"a line\n" for _ in range(100))
        assert list(tmp_path.iterdir())
        raise LookupError("the table is gone")

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (error,) = serve(lambda environ: StreamingHttpResponse(lines()), "/export")
    assert (type(error), list(tmp_path.iterdir())) == (LookupError, [])


def test_a_short_stream_needs_no_file_and_keeps_its_headers(serve: Callable[..., list[Any]]) -> None:
    def head(environ: dict[str, Any]) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter(()), headers={"Content-Length": "1000"})  # as WhiteNoise answers HEAD

    (answer,) = serve(head, "/static/a")
    assert (answer.content, answer.file, dict(answer.headers)["Content-Length"]) == (b"", "", "1000")


def test_a_file_is_named_not_read(serve: Callable[..., list[Any]]) -> None:
    (answer,) = serve(lambda environ: FileResponse(open(__file__, "rb")), "/static/a")  # noqa: SIM115
    assert content_of(answer) == b"named " + __file__.encode()


def test_a_request_that_finds_no_thread_in_time_is_not_begun(
    serve: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_threads, "QUEUE_TIMEOUT_SECONDS", 0.2)
    begun, go_on = [], threading.Event()

    def wait(environ: dict[str, Any]) -> HttpResponse:
        begun.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] in ("/readyz", "/last"):
            go_on.set()
        assert go_on.wait(TIMEOUT_SECONDS)
        return HttpResponse()

    def later() -> None:
        time.sleep(1)
        go_on.set()

    threading.Thread(target=later).start()
    first, second, third = serve(wait, "/1", "/2", "/3")
    assert (first.status, second.status, type(third)) == (200, 200, TooLate)
    assert begun == ["/1", "/2"]


def test_a_probe_does_not_wait_for_other_requests(serve: Callable[..., list[Any]]) -> None:
    go_on = threading.Event()

    def wait(environ: dict[str, Any]) -> HttpResponse:
        if environ["PATH_INFO"] == "/readyz":
            go_on.set()
        assert go_on.wait(TIMEOUT_SECONDS)
        return HttpResponse()

    assert [answer.status for answer in serve(wait, "/1", "/2", "/3", "/readyz")] == [200] * 4


def test_the_environment_holds_the_request_and_nothing_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "secret")
    monkeypatch.setenv("HTTP_X_EVIL", "header")
    request = Request("POST", "/caf\u00e9", {"a": 1}, query_string="b=2", client="[2001:db8::1]:50000")
    headers = {"content-type": "application/json", "x-shop": "one", "x_forwarded_for": "10.0.0.1"}
    environ = environ_of(request.scope(), headers, request.raw)
    assert not {name for name in os.environ if name in environ}
    assert (environ["REMOTE_ADDR"], environ["HTTP_X_SHOP"], environ["QUERY_STRING"]) == ("2001:db8::1", "one", "b=2")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("unknown", "8000")
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/caf\u00e9"
    assert environ["wsgi.input"].read() == request.raw
    assert "HTTP_X_FORWARDED_FOR" not in environ  # a name with an underscore is not that of a proxy's header
