"""A TCP proxy on 127.0.0.1 that delays every response."""

import contextlib
import socket
import threading
import time
from typing import Self


class SlowProxy:
    """Forwards connections to a server, and delays the data that the server sends by `delay` seconds."""

    def __init__(self, host: str, port: int, delay: float) -> None:
        self._target, self.delay = (host, port), delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink, delayed in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._copy, args=(source, sink, delayed), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, delayed: bool) -> None:
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                time.sleep(self.delay if delayed else 0)
                sink.sendall(data)
