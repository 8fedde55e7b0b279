"""What is listed on the second exchange, and the candles that are true there, kept as text.

Nothing here is shared with the product: it judges it. Symbols carry the traps of the real lists, candles the nasty
shapes of real decimals, and each instrument says how its final frames misbehave.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from decimal import Decimal

MINUTE_MS = 60_000
FOREVER_MS = 4_133_404_800_000
PLACEHOLDER_ONBOARD_MS = 1_569_398_400_000
INTERVAL_MS = {"1s": 1000, "1m": MINUTE_MS, "5m": 5 * MINUTE_MS, "1h": 60 * MINUTE_MS}

Row = tuple[str, str, str, str, str, str, int, str, str]
"""open, high, low, close, volume, quote volume, trades, taker base, taker quote."""


@dataclass(frozen=True)
class Instrument:
    """One listed thing. ``want``: the trade type it belongs to by the contract, or None."""

    venue: str
    symbol: str
    base: str
    quote: str
    want: str | None = None
    contract_type: str = "PERPETUAL"
    status: str = "TRADING"
    underlying: str = "COIN"
    listed_ms: int = 0
    delisted_ms: int = FOREVER_MS
    onboard_ms: int | None = None
    lag_ms: int = 0
    final: str = "once"  # once | twice | never
    stale_ms: int = 0  # REST answers an older state of the newest candle for that long after its close
    hole_ms: tuple[int, int] = field(default=(0, 0))  # begin times in [a, b) have no candle: the exchange was halted

    def state(self, now_ms: int) -> str:
        """Status as exchange info shows it at that moment."""
        if now_ms < self.listed_ms:
            return "PENDING_TRADING" if self.venue != "spot" else ""
        if now_ms >= self.delisted_ms:
            return "BREAK" if self.venue == "spot" else "SETTLING"
        return self.status

    def has_candle(self, begin_ms: int, length_ms: int) -> bool:
        """Whether the exchange truly has a candle that begins then."""
        return (
            begin_ms + length_ms > self.listed_ms
            and begin_ms < self.delisted_ms
            and not self.hole_ms[0] <= begin_ms < self.hole_ms[1]
        )


def number(rng: random.Random) -> str:
    """A decimal string of a shape that breaks careless parsers."""
    shapes = (
        f"0.{rng.randrange(1, 10**8):08d}",
        f"0.000000{rng.randrange(1, 99):02d}",
        f"{rng.randrange(1, 10**9)}.{rng.randrange(10**8):08d}",
        f"{rng.randrange(1, 10**6)}.{rng.randrange(10)}0000000",
        f"{rng.randrange(1, 10**5)}",
        f"0.{rng.randrange(1, 10**17):017d}",
        f"{rng.randrange(1, 10**13)}.{rng.randrange(10**5):05d}",
        f"{rng.randrange(1, 999)}.{'9' * 14}{rng.randrange(10)}",
        f"{rng.randrange(1, 10**4)}.{rng.randrange(1, 10**3):03d}",
    )
    return rng.choice(shapes)


def make_row(seed: str) -> Row:
    """A candle whose parts are in order (low <= open, close <= high; taker <= all), from a seed."""
    rng = random.Random(seed)
    if rng.random() < 0.05:  # a minute without a trade
        price = number(rng)
        return price, price, price, price, "0.00000000", "0.00000000", 0, "0.00000000", "0"
    low, first, second, high = sorted((number(rng) for _ in range(4)), key=Decimal)
    opening, close = (first, second) if rng.random() < 0.5 else (second, first)
    taker, volume = sorted((number(rng), number(rng)), key=Decimal)
    taker_quote, quote = sorted((number(rng), number(rng)), key=Decimal)
    return opening, high, low, close, volume, quote, rng.randrange(1, 10**7), taker, taker_quote


class Truth:
    """Every candle of the exchange, as text; made on first use, never changed after."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.rows: dict[tuple[str, str, str, int], Row] = {}

    def final(self, one: Instrument, interval: str, begin_ms: int) -> Row:
        key = (one.venue, one.symbol, interval, begin_ms)
        if key not in self.rows:
            self.rows[key] = make_row(f"{self.seed}|{key}")
        return self.rows[key]

    def unfinished(self, one: Instrument, interval: str, begin_ms: int) -> Row:
        """The same candle before its last trade: never equal to the final one."""
        row = self.final(one, interval, begin_ms)
        return ("0.77777777", "7777777777.7", "0.00000077", "0.77", "7.7", "7.77", row[6] + 1, "0.7", "0.07")


UM_COINS = (
    "BTC ETH BNB SOL XRP ADA DOGE LTC LINK DOT AVAX 1000SHIB 4 C98 T ID AUCTION UNI ATOM NEAR APT ARB OP SUI TIA INJ "
    "SEI WLD 1INCH JUP SUPER 币安人生 龙虾 我踏马来了 牛来"
)
SPOT_COINS = "BTC ETH BNB SOL XRP ADA JUP SUPER SYRUP 1INCH C98 T AMP TSLAB PAXG WBTC 币安人生 EURO USUAL FDUS TUS"
NOT_ASSETS = "USDC FDUSD TUSD USDP DAI USD1 EUR AEUR EURI GBP TRY BRL"  # stablecoins and fiat
CM_COINS = "BTC ETH BNB SOL XRP ADA DOGE LTC LINK DOT"


def _behaviour(index: int, one: Instrument, now_ms: int) -> Instrument:
    """Spread the bad manners of final frames over a venue's symbols."""
    minute = now_ms - now_ms % MINUTE_MS
    one = replace(one, lag_ms=(index * 617) % 5000)
    if index % 11 == 3:
        return replace(one, final="never")
    if index % 11 == 5:
        return replace(one, final="twice")
    if index % 11 == 7:
        return replace(one, final="never", stale_ms=1900)
    if index == 10:
        return replace(one, hole_ms=(minute - 40 * MINUTE_MS, minute - 37 * MINUTE_MS))
    return one


def _um(now_ms: int, closes_ms: tuple[int, int]) -> list[Instrument]:
    ordinary = [Instrument("um", f"{c}USDT", c, "USDT", "usdt_perp") for c in UM_COINS.split()]
    ordinary += [
        Instrument("um", "BTCDOMUSDT", "BTCDOM", "USDT", "usdt_perp", underlying="INDEX"),
        Instrument("um", "PREUSDT", "PRE", "USDT", "usdt_perp", underlying="PREMARKET"),
        Instrument("um", "YOUNGUSDT", "YOUNG", "USDT", "usdt_perp", listed_ms=now_ms - 10 * MINUTE_MS),
        Instrument("um", "LIARUSDT", "LIAR", "USDT", "usdt_perp", listed_ms=now_ms - 20 * MINUTE_MS,
                   onboard_ms=PLACEHOLDER_ONBOARD_MS),
        Instrument("um", "SOONUSDT", "SOON", "USDT", "usdt_perp", listed_ms=closes_ms[0] - 20_000),
        Instrument("um", "LATERUSDT", "LATER", "USDT", "usdt_perp", listed_ms=closes_ms[0] + 20_000),
        Instrument("um", "GONEUSDT", "GONE", "USDT", "usdt_perp", delisted_ms=closes_ms[0] - 10_000),
    ]  # fmt: skip
    good = [_behaviour(i, one, now_ms) for i, one in enumerate(ordinary)]
    return [
        *good,
        Instrument("um", "BTCUSDC", "BTC", "USDC", "usdc_perp"),
        Instrument("um", "ETHBTC", "ETH", "BTC", "btc_perp"),
        Instrument("um", "SPCXUSD1", "SPCX", "USD1"),
        Instrument("um", "XAUUSDT", "XAU", "USDT", "usdt_tradfi", "TRADIFI_PERPETUAL", underlying="COMMODITY"),
        Instrument("um", "TSLAUSDT", "TSLA", "USDT", "usdt_tradfi", "TRADIFI_PERPETUAL", underlying="EQUITY"),
        Instrument("um", "OMGUSDT", "OMG", "USDT", delisted_ms=1_738_310_400_000),
        Instrument("um", "MKRUSDT", "MKR", "USDT", delisted_ms=now_ms - 90 * MINUTE_MS),
        Instrument("um", "GAIBUSDT", "GAIB", "USDT", status="PENDING_TRADING", onboard_ms=1_763_600_000_000),
        Instrument("um", "BLANKUSDT", "BLANK", "USDT", contract_type="", status="PENDING_TRADING"),
        Instrument("um", "PRESETUSDT", "PRESET", "USDT", status="PRE_SETTLE"),
        Instrument("um", "ODDUSDT", "ODD", "USDT", contract_type="GALACTIC_PERPETUAL"),
        Instrument("um", "LUNCHUSDT", "LUNCH", "USDT", status="LUNCH_BREAK"),
        Instrument("um", "BTCUSDT_261225", "BTC", "USDT", "usdt_deli", "CURRENT_QUARTER"),
        Instrument("um", "BTCUSDT_270326", "BTC", "USDT", "usdt_deli", "NEXT_QUARTER"),
        Instrument("um", "ETHUSDT_260925", "ETH", "USDT", None, "CURRENT_QUARTER DELIVERING", "DELIVERING"),
    ]


def _spot(now_ms: int, closes_ms: tuple[int, int]) -> list[Instrument]:
    ordinary = [Instrument("spot", f"{c}USDT", c, "USDT", "usdt_spot", "") for c in SPOT_COINS.split()]
    ordinary += [
        Instrument("spot", "YOUNGUSDT", "YOUNG", "USDT", "usdt_spot", "", listed_ms=now_ms - 10 * MINUTE_MS),
        Instrument("spot", "SOONUSDT", "SOON", "USDT", "usdt_spot", "", listed_ms=closes_ms[0] - 20_000),
        Instrument("spot", "GONEUSDT", "GONE", "USDT", "usdt_spot", "", delisted_ms=closes_ms[0] - 10_000),
    ]
    return [
        *(_behaviour(i, one, now_ms) for i, one in enumerate(ordinary)),
        *(Instrument("spot", f"{c}USDT", c, "USDT", None, "") for c in NOT_ASSETS.split()),
        Instrument("spot", "USDTTRY", "USDT", "TRY", None, ""),
        Instrument("spot", "BTCUSDC", "BTC", "USDC", "usdc_spot", ""),
        Instrument("spot", "ETHBTC", "ETH", "BTC", "btc_spot", ""),
        Instrument("spot", "ADAEUR", "ADA", "EUR", None, ""),
        Instrument("spot", "FOOUSDT", "FOOU", "SDT", None, ""),  # ends in USDT, and is not quoted in it
        Instrument("spot", "BTCUPUSDT", "BTCUP", "USDT", None, "", "BREAK"),
        Instrument("spot", "LUNAUSDT", "LUNA", "USDT", None, "", delisted_ms=now_ms - 90 * MINUTE_MS),
        Instrument("spot", "CANUSDT", "CAN", "USDT", None, "", "CANCEL_ONLY"),
        Instrument("spot", "NAPUSDT", "NAP", "USDT", None, "", "SIESTA"),
    ]


def _cm(now_ms: int) -> list[Instrument]:
    ordinary = [Instrument("cm", f"{c}USD_PERP", c, "USD", "coin_perp") for c in CM_COINS.split()]
    return [
        *(_behaviour(i, one, now_ms) for i, one in enumerate(ordinary)),
        Instrument("cm", "BTCUSD_261225", "BTC", "USD", "coin_deli", "CURRENT_QUARTER"),
        Instrument("cm", "BTCUSD_260925", "BTC", "USD", None, "CURRENT_QUARTER_DELIVERING", "DELIVERING"),
        Instrument("cm", "OLDUSD_PERP", "OLD", "USD", None, delisted_ms=now_ms - 90 * MINUTE_MS),
    ]


def universe(now_ms: int, closes_ms: tuple[int, int]) -> dict[str, dict[str, Instrument]]:
    """Everything listed, by venue and symbol; things happen around the two closes."""
    return {
        "um": {one.symbol: one for one in _um(now_ms, closes_ms)},
        "spot": {one.symbol: one for one in _spot(now_ms, closes_ms)},
        "cm": {one.symbol: one for one in _cm(now_ms)},
    }
