"""What hostile clients do: connections that send little, slowly, too much, or read nothing."""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.os_processes import free_port
from tests.support.raw_http import request


class Address(NamedTuple):
    """Where to send, and the headers by which an honest request is let in."""

    host: str
    port: int
    headers: str = ""


ACTION = b'{"user_id": 7, "action_type": "login"}'
PATIENCE_SECONDS = 20  # after which an attacker has got no answer
LARGE_FILE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


@dataclass
class Honest:
    """What a client got that sends one action after another on new connections meanwhile."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"honest client: {dict(self.statuses)}, longest {max(self.seconds, default=0) * 1000:.0f} ms"


@asynccontextmanager
async def honest_client(address: Address) -> AsyncIterator[Honest]:
    """Sends actions until the block ends."""
    found, end = Honest(), asyncio.Event()

    async def send() -> None:
        while not end.is_set():
            begun = time.monotonic()
            found.statuses[await exchange(address, request(ACTION, extra=address.headers))] += 1
            found.seconds.append(time.monotonic() - begun)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(send())
    try:
        yield found
    finally:
        end.set()
        await task


async def exchange(address: Address, data: bytes, port: int = 0, reset: bool = False) -> int:
    """The status of the answer; 0 for none: the connection was cut, or nothing came. `port` is the client's."""
    try:
        reader, writer = await asyncio.open_connection(*address[:2], local_addr=("127.0.0.1", port) if port else None)
    except OSError:
        return 0
    sock: socket.socket = writer.get_extra_info("socket")
    if reset:  # closing sends RST, so that the port is free at once
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return await _status(reader)
    except (OSError, TimeoutError):
        return 0
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await writer.wait_closed()


async def _status(reader: asyncio.StreamReader) -> int:
    while line := await reader.readline():
        if line.startswith(b"HTTP/1.1 ") and b" 100 " not in line:
            return int(line.split()[1])
    return 0


class Attack(NamedTuple):
    """One kind of hostile client; `run` returns the statuses that they got, 0 for none."""

    name: str
    run: Callable[[Address], Awaitable[Counter[int]]]


async def many(address: Address, data: bytes, times: int) -> Counter[int]:
    """The statuses of equal requests at once."""
    return Counter(await asyncio.gather(*(exchange(address, data) for _ in range(times))))


async def half_sent(address: Address) -> Counter[int]:
    return await many(address, request(ACTION, length=1000), 200)


async def expecting(address: Address) -> Counter[int]:
    return await many(address, request(b"", length=1000, extra="Expect: 100-continue\r\n"), 64)


async def expecting_too_much(address: Address) -> Counter[int]:
    return await many(address, request(b"", length=17 * 2**20, extra="Expect: 100-continue\r\n"), 64)


async def multipart(address: Address) -> Counter[int]:
    form = request(b"x" * (17 * 2**20), path="/admin/login/", content_type="multipart/form-data; boundary=x")
    return await many(address, form, 4)


async def chunked(address: Address) -> Counter[int]:
    """Bodies that announce a length and are chunked, which some servers would read to their end."""
    extra = "Transfer-Encoding: chunked\r\n"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    return await many(address, request(b"", length=10, extra=extra) + chunk * 300, 8)


async def reused_ports(address: Address) -> Counter[int]:
    """From each port first half a body that is cut off, then an honest request."""
    found: Counter[int] = Counter()
    for port in [free_port() for _ in range(50)]:  # not fixed ones, which another test's server may have
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await exchange(address, request(ACTION, length=1000), port, reset=True)
        honest = request(ACTION, extra=address.headers)
        found[await exchange(address, honest, port, reset=True)] += 1
    return found


async def idle(address: Address) -> Counter[int]:
    """Thousands of connections that say nothing."""
    async with connections(address, 5000):
        await asyncio.sleep(6)
    return Counter()


async def dripping(address: Address) -> Counter[int]:
    """A byte of the headers a second each."""
    async with connections(address, 1000) as writers:
        for byte in b"POST / H":
            for writer in writers:
                with contextlib.suppress(OSError):
                    writer.write(bytes([byte]))
            await asyncio.sleep(1)
    return Counter()


async def slow_readers(address: Address) -> Counter[int]:
    """They ask for a large file and read nothing of it."""
    async with connections(address, 200) as writers:
        for writer in writers:
            writer.write(request(method="GET", path=LARGE_FILE, length=-1))
        await asyncio.sleep(6)
    return Counter()


@asynccontextmanager
async def connections(address: Address, number: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Open connections, 100 at a time; those that the server refuses are left out."""
    writers: list[asyncio.StreamWriter] = []
    for _ in range(0, number, 100):
        opened = await asyncio.gather(*(_open(address) for _ in range(100)), return_exceptions=True)
        writers += [writer for writer in opened if isinstance(writer, asyncio.StreamWriter)]
    try:
        yield writers
    finally:
        for writer in writers:
            writer.transport.abort()


async def _open(address: Address) -> asyncio.StreamWriter:
    """A connection whose received bytes stay in the kernel."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.get_running_loop().sock_connect(sock, address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=1)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer


ATTACKS = [
    Attack("200 half-sent bodies", half_sent),
    Attack("64 with Expect and no body", expecting),
    Attack("64 with Expect and 17 MB to come", expecting_too_much),
    Attack("4 multipart bodies of 17 MB", multipart),
    Attack("8 chunked bodies of 20 MB", chunked),
    Attack("50 reused ports", reused_ports),
    Attack("5,000 idle connections", idle),
    Attack("1,000 that drip headers", dripping),
    Attack("200 slow readers of 1.4 MB", slow_readers),
]
