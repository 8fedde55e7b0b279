"""Which symbols the exchange has, and which of them a trade type takes.

An entry of ``GET /fapi/v1/exchangeInfo`` (UM 2026, shortened; CM says ``contractStatus`` and adds ``contractSize``;
spot has neither contract nor dates, and ``isSpotTradingAllowed``)::

    {"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","deliveryDate":4133404800000,
     "onboardDate":1569398400000,"status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT",
     "underlyingType":"COIN","underlyingSubType":["PoW"],"filters":[{"filterType":"PRICE_FILTER","tickSize":"0.10"},
     {"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"0.001"},{"filterType":"MIN_NOTIONAL","notional":"100"}]}

Every set of words is open: kinds and states that are not known here are carried as they came, counted and logged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from kit.dialect.not_coins import NOT_COINS
from kit.errors import BadAnswerError
from kit.outside import UNREADABLE, printable, symbol_problem
from kit.words import LAST_MS, TradeType, Venue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TRADING = "TRADING"

# What the exchange documents or has been seen to send (2026-11). "" is the contract type of a spot pair, and of
# futures that were announced but not yet set up (2021).
KNOWN_STATUS = frozenset(
    {
        *("TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY"),
        *("PENDING_TRADING", "PRE_DELIVERING", "DELIVERING", "DELIVERED", "PRE_SETTLE", "SETTLING", "CLOSE"),
    }
)
QUARTERLIES = frozenset({"CURRENT_QUARTER", "NEXT_QUARTER", "CURRENT_MONTH", "NEXT_MONTH"})
PERPETUAL = "PERPETUAL"
TRADIFI_PERPETUAL = "TRADIFI_PERPETUAL"
KNOWN_KINDS = frozenset({"", PERPETUAL, TRADIFI_PERPETUAL, *QUARTERLIES})
KNOWN_UNDERLYINGS = frozenset({"", "COIN", "INDEX", "PREMARKET", "EQUITY", "COMMODITY"})
MAX_WEIGHT_LIMIT = 10_000_000  # a minute; the highest known is 6000, and a misread number would end in a ban
MAX_WORD_CHARS = 64  # of a status, kind or asset; the longest known has 25
MAX_SHOWN_PROBLEM_CHARS = 300

log = structlog.get_logger(__name__)


class SymbolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol as the exchange describes it. Times are UTC milliseconds, decimals the exchange's own text.

    ``onboard_ms`` is wrong for many older symbols (PUB#427): it is no start of history. ``delivery_ms`` of a live
    perpetual lies in the year 2100; a nearer one is the announced delisting.
    """

    venue: str
    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    margin_asset: str | None = None
    pair: str = ""
    contract_type: str = ""
    onboard_ms: int | None = None
    delivery_ms: int | None = None
    contract_size: str | None = None  # quote units of one contract, COIN-M only
    tick_size: str | None = None
    step_size: str | None = None
    min_quantity: str | None = None
    min_notional: str | None = None
    underlying_type: str = ""
    underlying_sub_type: tuple[str, ...] = ()
    spot_trading_allowed: bool = True

    @property
    def kind(self) -> str:
        """The contract type without the mark of a delivery, in one spelling: ``CURRENT_QUARTER DELIVERING`` (seen
        with a blank) and ``CURRENT_QUARTER_DELIVERING`` are a ``CURRENT_QUARTER``."""
        return self.contract_type.upper().replace(" ", "_").removesuffix("_DELIVERING")

    def to_dict(self) -> dict[str, Any]:
        """A plain dict of plain values, for JSON or a table; ``from_dict`` reads it back."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> SymbolInfo:
        """The symbol that ``to_dict`` described; keys of later versions are ignored.

        Raises:
            BadAnswerError: a field is missing or of another kind.
        """
        try:
            return msgspec.convert(dict(plain), cls)
        except msgspec.ValidationError as error:
            raise BadAnswerError(f"a stored symbol cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class ExchangeInfo:
    """The symbols of a venue. ``weight_limit`` is per minute, None where the answer names none.

    ``unknown`` counts values that no list here has, as ``status=NAME``; ``malformed`` the entries that were skipped.
    """

    venue: Venue
    symbols: tuple[SymbolInfo, ...]
    weight_limit: int | None
    unknown: Mapping[str, int]
    malformed: int


@dataclass(frozen=True, slots=True)
class Selection:
    """A trade type's symbols, by name, and the names of ``keep_symbols`` that are not among them."""

    symbols: tuple[SymbolInfo, ...]
    unknown_keep: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Contracts:
    """The contracts of a futures slice; None: whatever the quote asset."""

    kinds: frozenset[str]
    quote_asset: str | None


_SPOT_QUOTES = MappingProxyType({TradeType.USDT_SPOT: "USDT", TradeType.USDC_SPOT: "USDC", TradeType.BTC_SPOT: "BTC"})
_PERPETUALS = frozenset({PERPETUAL})
_CONTRACTS = MappingProxyType(
    {
        TradeType.USDT_PERP: _Contracts(_PERPETUALS, "USDT"),
        TradeType.USDT_SWAP: _Contracts(_PERPETUALS, "USDT"),
        TradeType.USDC_PERP: _Contracts(_PERPETUALS, "USDC"),
        TradeType.BTC_PERP: _Contracts(_PERPETUALS, "BTC"),
        TradeType.USDT_DELI: _Contracts(QUARTERLIES, "USDT"),
        TradeType.USDT_TRADFI: _Contracts(frozenset({TRADIFI_PERPETUAL}), "USDT"),
        TradeType.COIN_PERP: _Contracts(_PERPETUALS, None),
        TradeType.COIN_SWAP: _Contracts(_PERPETUALS, None),
        TradeType.COIN_DELI: _Contracts(QUARTERLIES, None),
    }
)


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str = ""
    tick_size: str | None = None
    step_size: str | None = None
    min_qty: str | None = None
    notional: str | None = None
    min_notional: str | None = None


class _Entry(msgspec.Struct, rename="camel"):
    """An entry of exchangeInfo, of whichever venue."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str | None = None
    contract_status: str | None = None
    margin_asset: str | None = None
    pair: str | None = None
    contract_type: str | None = None
    onboard_date: int | None = None
    delivery_date: int | None = None
    contract_size: int | float | str | None = None  # a number, in some copies a string
    underlying_type: str | None = None
    underlying_sub_type: tuple[str, ...] | None = None
    is_spot_trading_allowed: bool = True
    filters: tuple[_Filter, ...] = ()


class _RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str = ""
    interval: str = ""
    interval_num: int = 1
    limit: int = 0


class _Answer(msgspec.Struct, rename="camel"):
    symbols: list[msgspec.Raw]
    rate_limits: list[msgspec.Raw] = []


_answer = msgspec.json.Decoder(_Answer)
_entry = msgspec.json.Decoder(_Entry)
_rate_limit = msgspec.json.Decoder(_RateLimit)


def decode_exchange_info(venue: Venue, body: bytes) -> ExchangeInfo:
    """The symbols and the weight limit in an exchangeInfo answer. A malformed entry is skipped, counted and logged.

    Raises:
        BadAnswerError: not such an answer, or one without a single symbol: acting on it would drop the whole market.
    """
    try:
        answer = _answer.decode(body)
    except UNREADABLE as error:
        raise BadAnswerError(f"exchangeInfo of {venue} cannot be read: {error}") from error
    symbols, problems = _read_entries(venue, answer.symbols)
    if not symbols:
        first = f", the first because of {problems[0]}" if problems else ""
        raise BadAnswerError(f"exchangeInfo of {venue} has no symbol ({len(problems)} unreadable{first})")
    unknown = Counter(printable(word) for info in symbols for word in _unknown_words(info))
    if problems or unknown:
        log.warning(
            "exchange_info.odd",
            venue=venue.value,
            malformed=len(problems),
            first_problem=problems[0][:MAX_SHOWN_PROBLEM_CHARS] if problems else None,
            unknown=dict(unknown),
        )
    weight_limit = _weight_limit(answer.rate_limits)
    return ExchangeInfo(venue, symbols, weight_limit, MappingProxyType(dict(unknown)), len(problems))


def _read_entries(venue: Venue, raws: Iterable[msgspec.Raw]) -> tuple[tuple[SymbolInfo, ...], list[str]]:
    """The readable entries, one for a name, and why the others are not."""
    symbols: dict[str, SymbolInfo] = {}
    problems = []
    for raw in raws:
        try:
            info = _symbol_info(venue, _entry.decode(raw))
        except UNREADABLE as error:
            problems.append(str(error))
            continue
        problem = "it is there twice" if info.symbol in symbols else symbol_problem(info.symbol)
        if problem is not None:
            problems.append(f"the name {info.symbol!r}: {problem}")
            continue
        symbols[info.symbol] = info
    return tuple(symbols.values()), problems


def _symbol_info(venue: Venue, entry: _Entry) -> SymbolInfo:
    status = entry.contract_status if entry.status is None else entry.status
    if status is None:
        raise msgspec.ValidationError(f"{entry.symbol} has no status")
    filters = {each.filter_type: each for each in entry.filters}
    price, lot = filters.get("PRICE_FILTER", _Filter()), filters.get("LOT_SIZE", _Filter())
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or _Filter()
    return SymbolInfo(
        venue=venue.value,
        symbol=entry.symbol,
        status=status,
        base_asset=entry.base_asset,
        quote_asset=entry.quote_asset,
        margin_asset=entry.margin_asset,
        pair=entry.pair or entry.symbol,
        contract_type=entry.contract_type or "",
        onboard_ms=_moment(entry.onboard_date),
        delivery_ms=_moment(entry.delivery_date),
        contract_size=None if entry.contract_size is None else str(entry.contract_size),
        tick_size=price.tick_size,
        step_size=lot.step_size,
        min_quantity=lot.min_qty,
        min_notional=notional.notional or notional.min_notional,
        underlying_type=entry.underlying_type or "",
        underlying_sub_type=entry.underlying_sub_type or (),
        spot_trading_allowed=entry.is_spot_trading_allowed,
    )


def _moment(ms: int | None) -> int | None:
    """A date of the exchange; None for none (0 or absent) and for one that is out of range, which loses no symbol."""
    return ms if ms is not None and 0 < ms <= LAST_MS else None


def _unknown_words(info: SymbolInfo) -> Iterable[str]:
    if info.status not in KNOWN_STATUS:
        yield f"status={info.status}"
    if info.kind not in KNOWN_KINDS:
        yield f"contract_type={info.contract_type}"
    if info.underlying_type not in KNOWN_UNDERLYINGS:
        yield f"underlying_type={info.underlying_type}"


def _weight_limit(raws: Iterable[msgspec.Raw]) -> int | None:
    for raw in raws:
        try:
            rule = _rate_limit.decode(raw)
        except UNREADABLE:
            continue  # a kind of limit that is not known yet; the weight is looked for in the others
        if rule.rate_limit_type == "REQUEST_WEIGHT" and rule.interval == "MINUTE":
            limit = rule.limit // max(rule.interval_num, 1)
            return limit if 0 < limit <= MAX_WEIGHT_LIMIT else None
    return None


def belongs(trade_type: TradeType, info: SymbolInfo) -> bool:
    """Whether a symbol is of the slice, whatever its status: by its fields, never by the letters of its name."""
    if info.venue != trade_type.venue:
        return False
    if trade_type in _SPOT_QUOTES:
        quote = _SPOT_QUOTES[trade_type]
        return info.quote_asset == quote and info.spot_trading_allowed and info.base_asset not in NOT_COINS
    contracts = _CONTRACTS[trade_type]
    return info.kind in contracts.kinds and contracts.quote_asset in (None, info.quote_asset)


def trades(info: SymbolInfo) -> bool:
    """Whether the symbol streams klines now: the exchange does so for TRADING alone."""
    return info.status == TRADING


def select(
    trade_type: TradeType,
    infos: Iterable[SymbolInfo],
    keep_symbols: Sequence[str] | None = None,
    exclude_symbols: Sequence[str] | None = None,
) -> Selection:
    """The slice's symbols, whatever their status, narrowed to ``keep_symbols`` and without ``exclude_symbols``.

    None and an empty sequence narrow nothing. A name in ``keep_symbols`` that the slice does not have is reported in
    the result, not an error: a delisted symbol must not stop a market.
    """
    belonging = {info.symbol: info for info in infos if belongs(trade_type, info)}
    wanted = set(keep_symbols or belonging) - set(exclude_symbols or ())
    chosen = tuple(belonging[name] for name in sorted(wanted & belonging.keys()))
    return Selection(chosen, tuple(sorted(set(keep_symbols or ()) - belonging.keys())))
