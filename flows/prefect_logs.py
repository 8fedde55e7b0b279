"""Our logs in a process that has Prefect in it. Importing Prefect puts a handler of its own on the root logger, which
would print everything a second time and without hiding secrets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prefect.logging.handlers import PrefectConsoleHandler

from kit.logs import configure

if TYPE_CHECKING:
    from kit.logs import LogFormat


def take_over(log_format: LogFormat = "auto") -> None:
    """Send all logs of this process through ours. Prefect's own handlers for its API stay."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)]:
        root.removeHandler(handler)
    configure(log_format)
