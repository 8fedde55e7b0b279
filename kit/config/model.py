"""The keys of config.json, their defaults and limits, as frozen values. ``kit.config.load`` reads the file.

BMAC v2's keys keep their meaning and defaults (its handler.py, 2024); the others are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticUseDefault

from kit.config.problems import Allowed
from kit.config.values import (
    checked_symbol,
    checked_url,
    is_loopback,
    parse_duration,
    secret_parts,
    turns_verification_off,
)
from kit.words import Interval, TradeType, Venue

DINGTALK_HOST = "https://oapi.dingtalk.com"  # open.dingtalk.com, "custom robot access", 2025
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h", "socks4")  # what aiohttp, aiohttp-socks and websockets share

MAX_NAME_CHARS = 64  # of a DingTalk robot; it stands in logs

_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")


def _null_is_default(value: object) -> object:
    if value is None:
        raise PydanticUseDefault
    return value


# A key that takes a list or an object may also be null, as BMAC's users write it.
OrNull = BeforeValidator(_null_is_default)


def _symbol(text: object) -> object:
    return checked_symbol(text) if isinstance(text, str) else text


Symbol = Annotated[str, BeforeValidator(_symbol)]
Seconds = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(strict=True)]
_HTTP = Allowed("http:// or https:// and a host")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Endpoints(_Part):
    """Other hosts than the exchange's own; the paths stay the exchange's. None: the exchange's own host."""

    rest: Annotated[str | None, _HTTP] = Field(
        default=None, description="Base URL of REST, such as http://127.0.0.1:8080. Default: the exchange's own."
    )
    ws: Annotated[str | None, Allowed("ws:// or wss:// and a host")] = Field(
        default=None, description="Base URL of WebSockets, such as ws://127.0.0.1:8080. Default: the exchange's own."
    )
    dingding: Annotated[str | None, _HTTP] = Field(
        default=None, description=f"Base URL of DingTalk's robots. Default: {DINGTALK_HOST}."
    )

    @field_validator("rest", "dingding")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        return url if url is None else checked_url(url, ("http", "https"), user_info=False)

    @field_validator("ws")
    @classmethod
    def _ws(cls, url: str | None) -> str | None:
        return url if url is None else checked_url(url, ("ws", "wss"), user_info=False)


class Robot(_Part):
    """A DingTalk custom robot, in BMAC v2's form."""

    access_token: Annotated[SecretStr, Allowed("what follows access_token= in the robot's webhook")] = Field(
        description="What stands after access_token= in the robot's webhook address."
    )
    secret: Annotated[SecretStr | None, Allowed("the robot's signing secret (SEC...), or null")] = Field(
        default=None,
        description="The signing secret (SEC...); null where the robot checks keywords or addresses instead.",
    )
    format: Annotated[Literal["text", "markdown"], Allowed("text or markdown")] = Field(
        default="text", description="How DingTalk shows the message."
    )
    at_mobiles: Annotated[tuple[str, ...], OrNull, Allowed("a list of telephone numbers as texts")] = Field(
        default=(), description="Telephone numbers of the people that the message mentions (@)."
    )

    @field_validator("access_token", "secret")
    @classmethod
    def _is_a_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("it is not made of letters, digits, _, - and . alone")
        return token


class Resample(_Part):
    """Longer candles made of the market's own."""

    interval: Annotated[Interval, Allowed(f"one of {', '.join(Interval)}")] = Field(
        description="Length of the resampled candles: a multiple of the market's interval, and longer."
    )
    base_offset: Annotated[str, Allowed('a whole number and s, m, h or d, such as "5m"')] = Field(
        default="0m",
        pattern=r"^\d{1,6}[smhd]$",
        description="The step of the offsets that are kept: 5m keeps candles that begin at :00, :05, :10 ...; 0m only "
        "those of the full interval. A multiple of the market's interval, shorter than the resampled one. Default 0m.",
    )

    @property
    def offset(self) -> timedelta:
        """``base_offset`` as a duration."""
        return parse_duration(self.base_offset)


class FactorSpec(NamedTuple):
    """One factor column: the factor's name and its window in candles."""

    name: Annotated[str, Field(pattern=r"^[^\W\d]\w*$")]
    n: Annotated[int, Field(strict=True, ge=1, le=10_000)]


def _named_robots(value: object) -> object:
    """BMAC writes ``{"error": robot, ...}``; a robot alone is taken as the one for everything."""
    if isinstance(value, dict) and any(isinstance(value.get(key), str) for key in ("access_token", "secret")):
        return {"default": value}
    return value


class MarketConfig(_Part):
    """One market's configuration."""

    trade_type: Annotated[TradeType, Allowed(f"one of {', '.join(TradeType)}")] = Field(
        description="The slice of the exchange. Required."
    )
    interval: Annotated[Interval, Allowed(f"one of {', '.join(Interval)} (1s on spot only)")] = Field(
        description="Length of a candle; 1s exists on spot only. Required."
    )
    num_candles: Annotated[Count, Allowed("a whole number from 1 to 10000")] = Field(
        default=1500,
        ge=1,
        le=10_000,
        description="Candles kept complete per symbol, counted back from now. Default 1500.",
    )
    funding_rate: Annotated[bool, Field(strict=True), Allowed("true or false")] = Field(
        default=False, description="Keep funding rates too; no effect on spot and delivery. Default false."
    )
    keep_symbols: Annotated[tuple[Symbol, ...] | None, Allowed('null or ["BTCUSDT", ...]')] = Field(
        default=None, min_length=1, description="Only these symbols. Default null: the whole trade type."
    )
    exclude_symbols: Annotated[tuple[Symbol, ...], OrNull, Allowed('["BTCUSDT", ...]')] = Field(
        default=(), description="Not these symbols; stronger than keep_symbols. Default none."
    )
    save_type: Annotated[Literal["parquet", "feather"], Allowed("parquet or feather")] = Field(
        default="parquet", description="File format of the candles. Default parquet."
    )
    http_timeout_sec: Annotated[Seconds, Allowed("seconds above 0 and at most 300")] = Field(
        default=5.0, gt=0, le=300, description="Seconds until a REST request is given up. Default 5."
    )
    candle_close_timeout_sec: Annotated[Seconds, Allowed("seconds above 0 and at most 3600")] = Field(
        default=15.0, gt=0, le=3600, description="Seconds to wait for a candle to arrive after its close. Default 15."
    )
    num_rest_fetchers: Annotated[Count, Allowed("a whole number from 1 to 64")] = Field(
        default=8, ge=1, le=64, description="REST requests at the same time. Default 8."
    )
    num_socket_listeners: Annotated[Count, Allowed("a whole number from 1 to 64")] = Field(
        default=8, ge=1, le=64, description="WebSocket connections that share the symbols. Default 8."
    )
    endpoints: Annotated[Endpoints, OrNull, Allowed('an object such as {"rest": URL, "ws": URL}')] = Field(
        default=Endpoints(), description="Other hosts than the exchange's own."
    )
    proxy: Annotated[str | None, Allowed(f"null or a URL of {', '.join(PROXY_SCHEMES)}")] = Field(
        default=None, repr=False, description="Proxy for REST and WebSockets, such as socks5://user:password@host:1080."
    )
    offset_sec: Annotated[Seconds, Allowed("seconds from 0 to 3600, less than the interval")] = Field(
        default=3.0, ge=0, le=3600, description="Seconds from the close to the start of the period flow. Default 3."
    )
    factors: Annotated[tuple[FactorSpec, ...], OrNull, Allowed('name and window pairs: [["PctChg", 100]]')] = Field(
        default=(), description="Factors to compute each period: pairs of name and window in candles. Default none."
    )
    factor_package: Annotated[str | None, Allowed("null or a Python package's name")] = Field(
        default=None, pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$", description="Package of your own factors. Default null."
    )
    resample: Annotated[Resample | None, Allowed('null or {"interval": "1h", "base_offset": "5m"}')] = Field(
        default=None, description="Longer candles to keep as well. Default null."
    )
    dingding: Annotated[
        Mapping[str, Robot] | None,
        BeforeValidator(_named_robots, json_schema_input_type=Mapping[str, Robot] | Robot | None),
        Allowed('null, {"access_token": ..., "secret": ...} or {"error": {"access_token": ..., "secret": ...}}'),
    ] = Field(default=None, repr=False, description="DingTalk robots to tell, by name, in BMAC's form. Default null.")
    notify: Annotated[tuple[SecretStr, ...], OrNull, Allowed("a list of apprise URLs")] = Field(
        default=(),
        repr=False,
        description="Who is told when something is wrong: apprise URLs (mailto://, tgram:// ...).",
    )
    language: Annotated[Literal["en", "zh"], Allowed("en or zh")] = Field(
        default="en", description="Language of messages: en (English) or zh (Chinese). Default en."
    )
    time_zone: Annotated[str | None, Allowed('null or an IANA time zone, such as "Asia/Shanghai"')] = Field(
        default=None, description="Time zone of the times in messages. Default null: the machine's own."
    )
    _base_dir: Path = PrivateAttr(default=Path())

    @property
    def base_dir(self) -> Path:
        """The market's folder."""
        return self._base_dir

    def placed_in(self, base_dir: Path) -> MarketConfig:
        """The same configuration as the one of that folder."""
        placed = self.model_copy()
        placed._base_dir = base_dir.absolute()  # noqa: SLF001 - our own copy
        return placed

    @property
    def offset(self) -> timedelta:
        """``offset_sec`` as a duration."""
        return timedelta(seconds=self.offset_sec)

    @property
    def http_timeout(self) -> timedelta:
        """``http_timeout_sec`` as a duration."""
        return timedelta(seconds=self.http_timeout_sec)

    @property
    def candle_close_timeout(self) -> timedelta:
        """``candle_close_timeout_sec`` as a duration."""
        return timedelta(seconds=self.candle_close_timeout_sec)

    def secrets(self) -> tuple[str, ...]:
        """Every text that must never be shown: tokens, whole notification URLs, and the telling parts of URLs."""
        robots = (self.dingding or {}).values()
        given = [secret for robot in robots for secret in (robot.access_token, robot.secret) if secret is not None]
        urls = [url.get_secret_value() for url in self.notify]
        parts = [part for url in (*urls, self.proxy or "") for part in secret_parts(url)]
        return (*(secret.get_secret_value() for secret in given), *urls, *parts)

    def unencrypted(self) -> tuple[str, ...]:
        """The keys whose addresses are reached over a network without TLS: who is on the way may change what comes."""
        named = {f"endpoints.{name}": getattr(self.endpoints, name) for name in Endpoints.model_fields}
        return tuple(
            key
            for key, url in named.items()
            if url is not None
            and urlsplit(url).scheme in ("http", "ws")
            and not is_loopback(urlsplit(url).hostname or "")
        )

    # Checks that look at two keys stand at the later one: pydantic passes what was sound before it, so that
    # a mistake elsewhere does not hide these.

    @field_validator("interval")
    @classmethod
    def _exists_there(cls, interval: Interval, info: ValidationInfo) -> Interval:
        trade_type = info.data.get("trade_type")
        if interval is Interval.S1 and trade_type is not None and trade_type.venue is not Venue.SPOT:
            raise ValueError(f"1s candles exist on spot only, not for {trade_type}")
        return interval

    @field_validator("exclude_symbols")
    @classmethod
    def _leaves_some(cls, excluded: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        kept = info.data.get("keep_symbols")
        if kept and set(kept) <= set(excluded):
            raise ValueError("nothing of keep_symbols is left")
        return excluded

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, url: str | None) -> str | None:
        return url if url is None else checked_url(url, PROXY_SCHEMES, user_info=True)

    @field_validator("offset_sec")
    @classmethod
    def _before_the_next(cls, seconds: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval")
        # A 1s market's flow cannot start within its own second: there any offset is sound.
        if interval not in (None, Interval.S1) and timedelta(seconds=seconds) >= interval.delta:
            raise ValueError(f"it is not less than the interval {interval}")
        return seconds

    @field_validator("factors")
    @classmethod
    def _windows_fit(cls, factors: tuple[FactorSpec, ...], info: ValidationInfo) -> tuple[FactorSpec, ...]:
        longest = max((factor.n for factor in factors), default=0)
        if longest > info.data.get("num_candles", longest):
            raise ValueError(f"window {longest} is longer than num_candles")
        return factors

    @field_validator("resample")
    @classmethod
    def _fits_the_base(cls, resample: Resample | None, info: ValidationInfo) -> Resample | None:
        base = info.data.get("interval")
        if resample is None or base is None:
            return resample
        if resample.interval.ms <= base.ms or resample.interval.ms % base.ms:
            raise ValueError(f"interval {resample.interval} is not a multiple of the market's {base}, and longer")
        if resample.offset % base.delta or resample.offset >= resample.interval.delta:
            raise ValueError(f"base_offset is not a multiple of {base} below {resample.interval}")
        return resample

    @field_validator("dingding")
    @classmethod
    def _have_names(cls, robots: Mapping[str, Robot] | None) -> Mapping[str, Robot] | None:
        if any(not name.isprintable() or not 0 < len(name) <= MAX_NAME_CHARS for name in robots or ()):
            raise ValueError(f"a robot's name has not 1 to {MAX_NAME_CHARS} characters that can be shown")
        return robots

    @field_validator("notify")
    @classmethod
    def _are_urls(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, url in enumerate(urls):
            scheme, separator, rest = url.get_secret_value().partition("://")
            if not (separator and rest and scheme.replace("+", "").isalnum()):
                raise ValueError(f"number {number + 1} is not scheme://...")
            if turns_verification_off(url.get_secret_value()):
                raise ValueError(f"number {number + 1} turns the check of certificates off")
        return urls

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (KeyError, OSError, ValueError):  # no such file (a KeyError), a folder, a path that leads elsewhere
                raise ValueError("there is no such time zone") from None
        return name
