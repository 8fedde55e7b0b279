"""A receiver of notifications on a real socket: keeps what it got, and judges signatures as DingTalk documents it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"  # noqa: S105 - made up
SECRET = "SECfeedfacecafebeef0123456789abcdef"  # noqa: S105 - made up
MAX_AGE_MS = 3_600_000  # DingTalk refuses timestamps more than an hour off


@dataclass
class Receiver:
    port: int
    got: list[dict[str, Any]] = field(default_factory=list)
    # What to answer, in turn; when used up, DingTalk's judgement of the request.
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    hold: threading.Event | None = None  # answer only once it is set

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def judgement(path: str) -> dict[str, Any]:
    """DingTalk's answer, from the raw query: each argument is unquoted exactly once."""
    raw = dict(pair.split("=", 1) for pair in urlsplit(path).query.split("&") if pair)
    query = {name: unquote_plus(value) for name, value in raw.items()}
    if query.get("access_token") != TOKEN:
        return {"errcode": 300001, "errmsg": "token is not exist"}
    stamp = query.get("timestamp", "0")
    expected = hmac.new(SECRET.encode(), f"{stamp}\n{SECRET}".encode(), hashlib.sha256).digest()
    if query.get("sign") != base64.b64encode(expected).decode():
        return {"errcode": 310000, "errmsg": f"sign not match, yours: access_token={query['access_token']}"}
    if abs(int(stamp) - time.time() * 1000) > MAX_AGE_MS:
        return {"errcode": 310000, "errmsg": "invalid timestamp"}
    return {"errcode": 0, "errmsg": "ok"}


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append({"path": self.path, "body": json.loads(body)})
            if receiver.hold:
                receiver.hold.wait(120)
            judged = json.dumps(judgement(self.path)).encode()
            status, answer = receiver.answers.pop(0) if receiver.answers else (200, judged)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that gave up is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        if receiver.hold:
            receiver.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()
