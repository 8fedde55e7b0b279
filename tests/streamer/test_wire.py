"""Sockets are read in batches without losing, delaying or breaking anything, directly and through proxies."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidHandshake

from streamer.timing import Timing
from streamer.wire import READ_EVERY_S, open_socket

TIMING = Timing(open_within_s=60.0)


@contextlib.asynccontextmanager
async def server(handler, **options):
    async with serve(handler, "127.0.0.1", 0, compression=None, **options) as running:
        yield f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}/stream"


async def count_up(socket) -> None:
    for number in range(3000):
        await socket.send(str(number))
        if number % 100 == 0:
            await asyncio.sleep(0.001)
    await socket.wait_closed()


async def test_every_message_arrives_once_and_in_order():
    async with server(count_up) as url:
        socket = await open_socket(url, None, TIMING)
        received = [int(await socket.recv(decode=False)) for _ in range(3000)]
        await socket.close()
    assert received == list(range(3000))


async def test_single_messages_are_read_together_at_marks():
    async def trickle(socket) -> None:
        for _ in range(400):
            await socket.send("x")
            await asyncio.sleep(0.0005)
        await socket.wait_closed()

    async with server(trickle) as url:
        socket = await open_socket(url, None, TIMING)
        loop, reads, take = asyncio.get_running_loop(), [], socket.data_received
        socket.data_received = lambda data: (reads.append(loop.time()), take(data))[1]
        for _ in range(400):
            await socket.recv(decode=False)
        await socket.close()
    assert len(reads) <= (reads[-1] - reads[0]) / READ_EVERY_S + 2


async def test_the_exchanges_pings_are_answered_while_sockets_rest():
    async def ping(socket) -> None:
        for _ in range(5):
            await (await socket.ping())
        await socket.send("every one was answered")
        await socket.wait_closed()

    async with server(ping, ping_interval=None) as url:
        socket = await open_socket(url, None, TIMING)
        assert await asyncio.wait_for(socket.recv(decode=False), 60) == b"every one was answered"
        await socket.close()


class Proxy:
    """An HTTP CONNECT or a SOCKS5 proxy without authentication, just enough to tunnel one connection after another."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.tunnels = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = await (self._connect(reader, writer) if self.kind == "http" else self._socks(reader, writer))
        self.tunnels += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return int(head.split(b" ")[1].rsplit(b":", 1)[1])

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        await reader.readexactly(4 + 4)  # version, command, reserved, address type; an IPv4 address
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        return port

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()  # also where the test ends first


@pytest.mark.parametrize("kind", ["http", "socks5", "socks5h"])
async def test_a_proxy_is_gone_through(kind):
    proxy = Proxy(kind)
    door = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with door, server(count_up) as url:
        address = f"{kind}://127.0.0.1:{door.sockets[0].getsockname()[1]}"
        socket = await open_socket(url, address, TIMING)
        received = [int(await socket.recv(decode=False)) for _ in range(3000)]
        await socket.close()
        await asyncio.sleep(0.05)
    assert received == list(range(3000))
    assert proxy.tunnels == 1


async def test_a_proxy_that_is_not_there_is_an_ordinary_failure():
    with pytest.raises((OSError, InvalidHandshake)):
        await open_socket("ws://127.0.0.1:9/stream", "socks5://127.0.0.1:9", TIMING)
