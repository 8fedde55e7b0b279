"""One delivery to one target through apprise, blocking: meant for a thread of its own."""

# mypy: allow-untyped-calls
# (apprise declares itself typed, but half of its methods have no annotations)

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from apprise import Apprise, AppriseAsset, NotifyFormat, OverflowMode
from apprise.plugins import url_to_dict

from kit.notify import plugin
from kit.notify.dingtalk import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kit.notify.targets import Target

_registering = threading.Lock()  # apprise's list of services is one per process


def deliver(target: Target, title: str, body: str, timeout_sec: float) -> Verdict:
    """Send it once and say what became of it. ``timeout_sec`` bounds connecting and each wait for bytes."""
    with _registering:
        plugin.register()
    with _complaints() as heard:
        service = _service(target)
        if service is None:
            return Verdict(False, "apprise does not accept this URL")
        service.socket_connect_timeout = service.socket_read_timeout = timeout_sec
        service.verify_certificate = True  # the config refuses verify=no; nothing else may turn it off either
        told = Apprise()
        told.add(service)
        # A new service each time also leaves apprise's pause between two messages (5.5 s) out of the retries.
        sent = told.notify(title=title, body=body or title, body_format=NotifyFormat.TEXT)
    if isinstance(service, plugin.DingTalkRobot):
        return service.verdict
    # Apprise says only yes or no: whether trying again can help is not known, so it is tried.
    return Verdict(True) if sent else Verdict(False, "; ".join(heard) or "apprise could not deliver it", transient=True)


def _service(target: Target) -> Any | None:
    """The apprise service of that target, or None where apprise refuses its URL."""
    asset = AppriseAsset(app_id="BMAC", app_desc="Binance market data", app_url="")
    if target.robot is not None:
        robot = target.robot
        parts: dict[str, Any] | None = {
            "schema": plugin.SCHEMES[0],
            "host": "",
            "token": robot.access_token.get_secret_value(),
            "secret": robot.secret.get_secret_value() if robot.secret else None,
            "targets": robot.at_mobiles,
            "format": robot.format,
        }
    else:
        parts = url_to_dict(target.url, secure_logging=True)
    if not parts:
        return None
    if parts["schema"] in plugin.SCHEMES:
        parts["endpoint"] = target.dingtalk_host
    # Else apprise hands on what is too long for a service, which then refuses all of it. In parts it would be a storm
    # where a message has 160 characters, and take longer than an attempt: apprise waits between two.
    parts.setdefault("overflow", OverflowMode.TRUNCATE)
    return Apprise.instantiate(parts, asset=asset)


class _Listener(logging.Filter):
    """Takes what apprise says in this thread out of the logs and keeps it: its only words on why something failed.

    Out of the logs, because some of it shows an URL in parts, where no redaction can know the secret.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        if record.levelno >= logging.WARNING:
            self.heard.append(record.getMessage())
        return False


@contextmanager
def _complaints() -> Iterator[list[str]]:
    listener = _Listener()
    logger = logging.getLogger("apprise")
    logger.addFilter(listener)
    try:
        yield listener.heard
    finally:
        logger.removeFilter(listener)
