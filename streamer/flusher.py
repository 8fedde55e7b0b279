"""The disk work of one market, on a thread of its own: sockets never wait for it, and nothing is lost when it fails."""

from __future__ import annotations

import asyncio
import errno
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import structlog

from kit.errors import FolderError
from kit.exchange_clock import steady_ms

if TYPE_CHECKING:
    from streamer.stats import MarketStats
    from streamer.timing import Timing

logger = structlog.stdlib.get_logger(__name__)


class Flushed(Protocol):
    """What is read of a flush's result."""

    @property
    def rows(self) -> int: ...

    @property
    def bytes(self) -> int: ...

    @property
    def too_late(self) -> int: ...


class FlushingWriter(Protocol):
    """What is needed of ``kit.buffer.slices.SliceWriter`` here; ``flush`` blocks, and is called from one thread."""

    @property
    def pending(self) -> int: ...

    def flush(self) -> Flushed: ...


def pause_after(flush_s: float, timing: Timing) -> float:
    """Seconds to rest after a flush that took ``flush_s``: a slow disk gets fewer, larger writes."""
    return max(timing.flush_every_s, min(flush_s / timing.flush_share, timing.flush_pause_cap_s))


class Flusher:
    """Flushes a writer whenever woken. ``run`` until cancelled, then ``finish``."""

    def __init__(self, name: str, writer: FlushingWriter, stats: MarketStats, timing: Timing) -> None:
        self._writer = writer
        self._stats = stats
        self._timing = timing
        self._wakened = asyncio.Event()
        self.began: float | None = None
        """When the flush under way began, by ``time.monotonic``; None while there is none."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"flush-{name}")
        self._log = logger.bind(market=name)

    def wake(self) -> None:
        """Something is pending."""
        self._wakened.set()

    async def run(self) -> None:
        """Flush soon after each waking; when the disk refuses, keep all and try again, ever slower."""
        retry_s = self._timing.disk_retry_first_s
        while True:
            await self._wakened.wait()
            await self._gather()
            while self._writer.pending:
                self._wakened.clear()
                began = time.monotonic()
                if await self._flush():
                    retry_s = self._timing.disk_retry_first_s
                    await asyncio.sleep(pause_after(time.monotonic() - began, self._timing))
                else:
                    await asyncio.sleep(retry_s)
                    retry_s = min(2 * retry_s, self._timing.disk_retry_cap_s)
            self._wakened.clear()

    async def _gather(self) -> None:
        """Wait while more keeps coming: one write for a burst instead of one for its beginning and a late one."""
        until = time.monotonic() + self._timing.gather_at_most_s
        before = 0
        while self._writer.pending > before and time.monotonic() < until:
            before = self._writer.pending
            await asyncio.sleep(self._timing.gather_s)

    async def finish(self) -> int:
        """The last flush, tried until it works or time is up. Returns how many candles could not be written."""
        try:
            async with asyncio.timeout(self._timing.leave_within_s):
                while self._writer.pending:
                    if not await self._flush():
                        await asyncio.sleep(self._timing.disk_retry_first_s)
        except TimeoutError:
            self._log.error("disk.too_slow", pending=self._writer.pending)
        self._thread.shutdown(wait=False)
        return self._writer.pending

    async def _flush(self) -> bool:
        self.began = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
            flushed, ended_ms = await asyncio.shield(loop.run_in_executor(self._thread, self._flush_in_thread))
        except (OSError, FolderError) as error:
            self._note_refusal(error)
            return False
        finally:
            self.began = None
        if self._stats.disk_error is not None:
            self._log.info("disk.writable_again", rows=flushed.rows)
        self._stats.disk_error = None
        self._stats.flushes += 1
        self._stats.rows_written += flushed.rows
        self._stats.bytes_written += flushed.bytes
        self._stats.readable(ended_ms, pending=self._writer.pending, given_up=flushed.too_late)
        if flushed.too_late:
            self._stats.dropped += flushed.too_late
            self._log.error("candles.too_late", count=flushed.too_late)
        return True

    def _flush_in_thread(self) -> tuple[Flushed, float]:
        """A flush, and the steady clock when its files had their names: the event loop may be busy by then."""
        flushed = self._writer.flush()
        return flushed, steady_ms()

    def _note_refusal(self, error: OSError | FolderError) -> None:
        """Log a refusal once per kind: a full disk stays full for hours."""
        code = error.errno if isinstance(error, OSError) else None
        kind = errno.errorcode.get(code or 0, type(error).__name__)
        if kind != self._stats.disk_error:
            self._log.error("disk.refuses", error=kind, detail=str(error), pending=self._writer.pending)
        self._stats.disk_error = kind
