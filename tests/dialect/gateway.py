"""A small HTTP server that answers what a test tells it, over a real socket, and a SOCKS5 proxy before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gateway:
    """``answers[path]`` is the body, a response maker, or a coroutine; every request is in ``requests``."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {}
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.query)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.answers.get(request.path)
            if callable(answer):
                return await answer(request)
            if answer is None:
                return web.Response(status=404)
            return web.Response(body=json.dumps(answer).encode(), headers=self.headers)
        finally:
            self.under_way -= 1

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


def refusal(status: int, body: str, **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    return answer


@contextlib.asynccontextmanager
async def running_gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", gateway.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield gateway
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running_socks5(target_port: int) -> AsyncIterator[tuple[int, list[str]]]:
    """A SOCKS5 proxy that leads every name to ``target_port`` here; yields its port and the names asked for."""
    asked: list[str] = []
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        *_, kind = await reader.readexactly(4)
        length = (await reader.readexactly(1))[0] if kind == 3 else 4
        name = await reader.readexactly(length)
        await reader.readexactly(2)
        asked.append(name.decode() if kind == 3 else ".".join(map(str, name)))
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target_port)
        writers.extend((writer, there_writer))
        tasks.add(asyncio.create_task(pump(reader, there_writer)))
        tasks.add(asyncio.create_task(pump(there_reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
        await server.wait_closed()
