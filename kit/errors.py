"""Everything this project raises on purpose.

BmacError
├── NaiveTimeError (also ValueError)     a timestamp without a zone
├── TimeRangeError (also ValueError)     a timestamp in the year 1 or 9999
├── UnknownWordError (also ValueError)   a trade type, interval, symbol ... that does not exist; suggests the nearest
├── ConfigError                          config.json is wrong: names the key and what is allowed (exit code 2)
├── FolderError                          something is wrong with a base directory (exit code 2)
│   ├── FolderVersionError               written by another format version
│   ├── DamagedFileError                 a file of candles or funding cannot be read by anybody; the flow puts it aside
│   ├── FolderNotWritableError           permissions, read-only file system
│   └── FolderBusyError                  another streamer or flow holds it
├── NotReadyError                        wait_ready / wait_complete ran out of time
├── FactorError (kit.factors.errors)     a factor cannot be used or computed; names its column
└── ExchangeError                        the exchange said no, or something unreadable, or nothing
    ├── UnreachableError                 no connection, time-out, reset            try again
    │   └── NotConnectedError (kit.dialect.rest)  none came about, so no weight is spent
    ├── FrameError (kit.dialect.klines)  a WebSocket frame that is not the exchange's
    ├── BadAnswerError                   HTML, torn JSON, an empty 202 ...           try again
    ├── MaintenanceError                 a maintenance body or 503                   try again
    ├── StopError                        stop sending until ``until_ms``             try again then
    │   ├── RateLimitedError             429: the weight of this minute is used up
    │   ├── BannedError                  418: this IP address is banned
    │   └── ForbiddenError               403 of the firewall, 451 of the region
    ├── SymbolRefusedError               -1121, -1122, -4108: this symbol has none   never
    └── RefusedRequestError              any other 4xx: our request is wrong        never

An error carries its facts as fields and says by ``transient`` whether trying the same again can help.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from datetime import datetime

from kit.logs import shown


class BmacError(Exception):
    """The root of this project's errors. ``transient``: the same call may succeed later."""

    transient = False

    def __str__(self) -> str:
        """One line that may be shown: much of it was said by others, who may say secrets back or steer a terminal."""
        return shown(super().__str__())


class NaiveTimeError(BmacError, ValueError):
    """A timestamp has no time zone, and guessing one could be hours wrong."""

    def __init__(self, moment: datetime) -> None:
        super().__init__(f"{moment!r} has no time zone; give an aware timestamp, such as one with tzinfo=datetime.UTC")
        self.moment = moment


class TimeRangeError(BmacError, ValueError):
    """A timestamp lies where ``datetime`` ends: in another zone, or a little on, there may be none."""

    def __init__(self, moment: datetime) -> None:
        super().__init__(f"{moment!r} lies outside the years 2 to 9998 of UTC")
        self.moment = moment


class UnknownWordError(BmacError, ValueError):
    """A name that does not exist, with what is allowed and the nearest to what was written."""

    def __init__(self, what: str, text: object, allowed: Sequence[str]) -> None:
        near = difflib.get_close_matches(str(text), allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__(f"{what} {text!r} does not exist{hint} (allowed: {', '.join(allowed)})")
        self.what = what
        self.text = text
        self.allowed = tuple(allowed)


class ConfigError(BmacError):
    """``config.json`` cannot be used. ``problems`` holds one sentence for each key that is wrong."""

    def __init__(self, path: str, problems: Sequence[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.path = path
        self.problems = tuple(problems)


class FolderError(BmacError):
    """A base directory cannot be used as it is."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class FolderVersionError(FolderError):
    """The folder was written in a format that this version does not read."""


class DamagedFileError(FolderError):
    """A file of candles or funding cannot be read by anybody, for what is in it. ``path`` is the file's."""

    def __init__(self, path: str, damage: str) -> None:
        super().__init__(
            path,
            f"cannot be read ({damage}); the next period puts it aside and fetches what it held of the window again; "
            "where none runs, delete it",
        )


class FolderNotWritableError(FolderError):
    """The folder cannot be written."""


class FolderBusyError(FolderError):
    """Another process holds the folder for the same work."""


class NotReadyError(BmacError, TimeoutError):
    """What was waited for did not come in time."""

    transient = True


class ExchangeError(BmacError):
    """The exchange refused, answered something unreadable, or did not answer. ``url`` has no secrets in it."""

    def __init__(self, message: str, *, url: str = "", status: int = 0, code: int | None = None) -> None:
        super().__init__(f"{message} ({url})" if url else message)
        self.url = url
        self.status = status
        self.code = code


class UnreachableError(ExchangeError):
    """No connection, a time-out, or a reset in the middle of the answer."""

    transient = True


class BadAnswerError(ExchangeError):
    """An answer that is not the exchange's JSON: HTML of a gateway, an empty 202, a torn body."""

    transient = True


class MaintenanceError(ExchangeError):
    """The exchange says that it is under maintenance or overloaded."""

    transient = True


class StopError(ExchangeError):
    """The exchange asked us to stop sending until ``until_ms`` (milliseconds since the epoch)."""

    transient = True

    def __init__(self, message: str, until_ms: int, *, url: str = "", status: int = 0, code: int | None = None) -> None:
        super().__init__(message, url=url, status=status, code=code)
        self.until_ms = until_ms


class RateLimitedError(StopError):
    """429: the weight of this minute is used up."""


class BannedError(StopError):
    """418: this IP address is banned until ``until_ms``."""


class ForbiddenError(StopError):
    """403 of the firewall or 451 of the region: asking on at once makes it worse."""


class SymbolRefusedError(ExchangeError):
    """The exchange has nothing under this symbol, or not in its present state (-1121, -1122, -4108)."""


class RefusedRequestError(ExchangeError):
    """Another 4xx: the request itself is wrong, and repeating it cannot help."""
