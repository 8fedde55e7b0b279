"""The endpoint: ``/metrics`` over HTTP, on threads of its own, so that whoever asks holds up nobody.

Whoever connects has few seconds and one of few places; when all are taken the oldest connection gives way, so that
idle ones cannot lock Prometheus out. What was read within a second is told again, however many ask.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from kit.metrics.address import Address, MetricsError

log = structlog.stdlib.get_logger(__name__)

PLACES = 8
"""Connections, and threads, at a time."""
ROOM_WITHIN_SEC = 1.0
"""A connection that is cut ends within milliseconds, but where a reading is under way."""
ANSWERED_WITHIN_SEC = 5.0
"""From the connection to the end of the answer. Prometheus gives up after 10 s by default."""
TOGETHER_SEC = 1.0
"""Readings are at least so far apart; Prometheus asks every 15 s."""
LOOK_EVERY_SEC = 0.5

Request = socket.socket | tuple[bytes, socket.socket]
"""What ``socketserver`` calls a request: for TCP always the first."""


class UnansweredError(Exception):
    """What is to be told of does not answer; Prometheus then sees a failed scrape (``up`` is 0)."""


class Page:
    """The text of all metrics, read at most once a second, by one thread at a time."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        self._registry.register(collector)
        self._lock = threading.Lock()
        self._read_at = -TOGETHER_SEC
        self._text: bytes | None = None

    def text(self) -> bytes | None:
        """The text; None when nothing answered."""
        with self._lock:
            if time.monotonic() - self._read_at >= TOGETHER_SEC:
                try:
                    self._text = generate_latest(self._registry)
                except UnansweredError as error:
                    self._text = None
                    log.warning("metrics.unanswered", reason=str(error))
                finally:
                    self._read_at = time.monotonic()
            return self._text


class _Server(ThreadingTCPServer):
    allow_reuse_address = True  # a restart need not wait for the last connections' end
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64  # whoever finds it full is kept waiting by TCP for a second or three

    def __init__(self, address: Address, page: Page) -> None:
        self.page = page
        self._open: dict[Request, float] = {}  # since when (monotonic), oldest first
        self._ended = threading.Condition()
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), _Handler)

    def verify_request(self, request: Request, client_address: object) -> bool:  # noqa: ARG002 - the library's
        """Whether there is a place; the oldest gives way for it."""
        with self._ended:
            if len(self._open) >= PLACES:
                _cut(next(iter(self._open)))
                self._ended.wait_for(lambda: len(self._open) < PLACES, ROOM_WITHIN_SEC)
            if len(self._open) >= PLACES:
                return False
            self._open[request] = time.monotonic()
        return True

    def service_actions(self) -> None:
        """Cut those whose time is over, however slowly they still send."""
        now = time.monotonic()
        with self._ended:
            for connection, since in self._open.items():
                if now - since > ANSWERED_WITHIN_SEC:
                    _cut(connection)

    def shutdown_request(self, request: Request) -> None:
        """The end of a connection, whichever way it came."""
        with self._ended:
            self._open.pop(request, None)
            self._ended.notify()
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's
        """A connection that broke is the other side's business; anything else is a bug, and is told."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("metrics.broke", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "bmac"
    sys_version = ""
    timeout = ANSWERED_WITHIN_SEC

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404, "text/plain; charset=utf-8", b"Metrics are at /metrics.\n")
            return
        text = self.server.page.text()
        if text is None:
            self._answer(503, "text/plain; charset=utf-8", b"The program does not answer.\n")
        else:
            self._answer(200, CONTENT_TYPE_PLAIN_0_0_4, text)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Each scrape is no news."""


def _cut(connection: Request) -> None:
    """Wake the thread that waits for it; that one closes it. It may just have done so."""
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(address: Address, collector: Collector) -> Iterator[Address]:
    """Serve what ``collector`` tells, and this process's own numbers; where.

    The collector is called in threads, one at a time, and raises ``UnansweredError`` when it cannot tell.

    Raises:
        MetricsError: the address cannot be listened on.
    """
    try:
        server = _Server(address, Page(collector))
    except OSError as error:
        why = error.strerror or error
        raise MetricsError(f"metrics cannot be served on {address}: {why}; choose another [HOST:]PORT") from error
    bound = Address(address.host, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_EVERY_SEC,), name="metrics", daemon=True)
    thread.start()
    log.info("metrics.serving", url=f"http://{bound}/metrics")
    if not address.is_loopback:
        log.warning("metrics.no_password", hint="whoever reaches this address reads them")
    try:
        yield bound
    finally:
        server.shutdown()
        server.server_close()
