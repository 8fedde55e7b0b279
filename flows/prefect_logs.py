"""Our logs in a process that has Prefect in it. Importing Prefect puts a handler of its own on the root logger, which
would print everything a second time and without hiding secrets."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import prefect.main  # noqa: F401 - puts Prefect's handlers where they are; later, it would undo what is done here
from prefect.logging.handlers import PrefectConsoleHandler

from kit.logs import configure, shown

if TYPE_CHECKING:
    from kit.logs import LogFormat


def take_over(log_format: LogFormat = "auto") -> None:
    """Send all logs of this process through ours. Prefect's own handlers for its API stay, and hide secrets too."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, PrefectConsoleHandler)]:
        root.removeHandler(handler)
    for name in [name for name in root.manager.loggerDict if name.startswith("prefect")]:
        for theirs in logging.getLogger(name).handlers:
            if not any(isinstance(each, _WithoutSecrets) for each in theirs.filters):
                theirs.addFilter(_WithoutSecrets())
    configure(log_format)


class _WithoutSecrets(logging.Filter):
    """What Prefect keeps and shows of its runs' logs, tracebacks of any library among them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = shown(record.getMessage(), lines=True), ()
        if record.exc_info:
            record.exc_text = shown("".join(traceback.format_exception(*record.exc_info)), lines=True)
        return True
