"""The server: the page's files, JSON of each market, and a stream of events. It reads only, and only the folders that
it was given: requests name them by number."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from kit.errors import BmacError, UnknownWordError
from kit.serve import readings
from kit.serve.files import ChartLibrary, PageFile, chart_library, page_files
from kit.serve.guard import HEADERS, host_allowed
from kit.serve.hub import Hub
from kit.words import to_ms, utc_now

TICK_SEC = 4.0
"""How often an open page hears that all is as it was; after three of these without a word it says that it is stale."""

READERS = 2
"""Threads that read for the page: many tabs wait for each other rather than load the machine."""

TOGETHER_SEC = 1.0
"""Tabs that ask for the same within this time share one reading, unless there are news since it began."""

SHOWN_CANDLES = 300


@dataclass
class Site:
    """What the handlers share."""

    base_dirs: Sequence[Path]
    hub: Hub
    files: dict[str, PageFile]
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(READERS, "page"))
    _shared: dict[tuple[str, int], tuple[float, int | None, asyncio.Future[Any]]] = field(default_factory=dict)

    async def read(self, reading: Callable[..., Any], *arguments: object) -> Any:
        """A reading in one of the few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(reading, *arguments))

    async def read_together(self, reading: Callable[[Path], Any], index: int) -> Any:
        """A reading that everybody gets who asks within a moment. Who asks because of news gets none from before them:
        it would be shown until the next ones come."""
        now = asyncio.get_running_loop().time()
        version = self.hub.version(index)
        key = (reading.__name__, index)
        asked_at, known, future = self._shared.get(key, (0.0, None, None))
        if future is None or now - asked_at > TOGETHER_SEC or version != known:
            future = asyncio.ensure_future(self.read(reading, self.base_dirs[index]))
            self._shared[key] = (now, version, future)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Start no more readings."""
        self._pool.shutdown(wait=False, cancel_futures=True)


SITE = web.AppKey("site", Site)


def make_app(base_dirs: Sequence[Path], host: str) -> web.Application:
    """The application for these markets, to be listened to on ``host``.

    Raises:
        FileNotFoundError: the chart library is not installed.
    """
    charts = chart_library()
    places = [base_dir.absolute() for base_dir in base_dirs]
    site = Site(places, Hub(places, readings.overview), {**page_files(), charts.path: charts.file})
    app = web.Application(middlewares=[_only_for_us(host), _told_errors])
    app[SITE] = site
    app.on_response_prepare.append(_with_headers)
    app.on_shutdown.append(_end_streams)
    app.on_cleanup.append(_close)
    for path in site.files:
        app.router.add_get(path, _file)
    app.router.add_get("/api/charts", partial(_charts, charts))
    app.router.add_get("/api/events", _events)
    app.router.add_get("/api/markets", _markets)
    for name, handler in (("grid", _grid), ("timeline", _timeline), ("candles", _candles), ("factors", _factors)):
        app.router.add_get(f"/api/markets/{{index:[0-9]{{1,4}}}}/{name}", handler)
    return app


@asynccontextmanager
async def serving(base_dirs: Sequence[Path], host: str, port: int) -> AsyncIterator[str]:
    """Serve the page; the address. Port 0 takes any free one.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.AppRunner(make_app(base_dirs, host), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def _only_for_us(host: str) -> Callable[..., Any]:
    @web.middleware
    async def check(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        if not host_allowed(request.headers.get("Host"), host):
            return web.Response(status=421, text="This page is served to its own machine only, under its own names.\n")
        answer: web.StreamResponse = await handler(request)
        return answer

    return check


@web.middleware
async def _told_errors(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """What a folder or a name is wrong with, as an answer: 404 for what does not exist, 503 for what cannot be read."""
    try:
        answer: web.StreamResponse = await handler(request)
    except UnknownWordError as error:
        return _json({"error": str(error)}, status=404)
    except (BmacError, OSError) as error:
        return _json({"error": str(error)}, status=503)
    return answer


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


async def _end_streams(app: web.Application) -> None:
    app[SITE].ending.set()
    app[SITE].hub.wake()


async def _close(app: web.Application) -> None:
    await app[SITE].hub.close()
    app[SITE].close()


async def _file(request: web.Request) -> web.Response:
    file = request.app[SITE].files[request.path]
    headers = {"Cache-Control": file.cache_control, "ETag": f'"{file.etag}"', "Vary": "Accept-Encoding"}
    if any(known.value == file.etag for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = file.content
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = await asyncio.to_thread(lambda: file.gzipped)
    return web.Response(body=body, headers=headers, content_type=file.content_type, charset="utf-8")


async def _charts(charts: ChartLibrary, _: web.Request) -> web.Response:
    """Where the chart library is: its address names the version, so that browsers keep it."""
    return _json({"path": charts.path, "style_ids": charts.style_ids})


async def _events(request: web.Request) -> web.StreamResponse:
    """Server-sent events: ``market`` with an overview when it changed, and ``tick`` with the moments of the newest
    looks, so that a page can count the age of what it shows."""
    site = request.app[SITE]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    sent: dict[int, int] = {}
    with suppress(ConnectionResetError):  # the tab was closed
        async with site.hub.listening() as event:
            await response.write(b"retry: 2000\n\n")
            while not site.ending.is_set():
                event.clear()
                site.hub.check()
                news = dict(sorted(site.hub.news.items()))
                for index, one in news.items():
                    if sent.get(index) != one.version:
                        await response.write(_event("market", {"index": index, **one.overview}))
                        sent[index] = one.version
                looked = {str(index): one.looked_ms for index, one in news.items()}
                await response.write(_event("tick", {"now_ms": to_ms(utc_now()), "looked_ms": looked}))
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), TICK_SEC)
    return response


def _event(name: str, content: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(content))


async def _markets(request: web.Request) -> web.Response:
    site = request.app[SITE]
    looks = [site.read_together(readings.overview, index) for index in range(len(site.base_dirs))]
    return _json(await asyncio.gather(*looks))


async def _grid(request: web.Request) -> web.Response:
    return _json(await request.app[SITE].read_together(readings.grid, _index(request)))


async def _timeline(request: web.Request) -> web.Response:
    return _json(await request.app[SITE].read_together(readings.timeline, _index(request)))


async def _factors(request: web.Request) -> web.Response:
    return _json(await request.app[SITE].read_together(readings.factors, _index(request)))


async def _candles(request: web.Request) -> web.Response:
    site, query = request.app[SITE], request.query
    last = query.get("last", str(SHOWN_CANDLES))
    if not (last.isascii() and last.isdigit()) or "symbol" not in query:
        return _json({"error": "symbol is needed, and last is a whole number"}, status=400)
    base_dir = site.base_dirs[_index(request)]
    interval, offset = query.get("interval"), query.get("offset", "0m")
    return _json(await site.read(readings.candles, base_dir, query["symbol"], interval, offset, int(last)))


def _index(request: web.Request) -> int:
    index = int(request.match_info["index"])
    if index >= len(request.app[SITE].base_dirs):
        raise web.HTTPNotFound(text="There is no such market.")
    return index


def _json(content: Any, status: int = 200) -> web.Response:
    response = web.Response(
        status=status,
        body=msgspec.json.encode(content),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
    response.enable_compression()
    return response
