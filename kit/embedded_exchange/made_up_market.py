"""The default market: looks like the real one of 2026, in names, kinds and oddities, at any size."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kit.embedded_exchange.instrument import MINUTE_MS
from kit.embedded_exchange.made_up_records import Listing
from kit.embedded_exchange.noise import fraction_of
from kit.words import from_ms, to_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_MS = 1440 * MINUTE_MS
RECENT = "FRESH"  # listed RECENT_MS before the exchange started
RECENT_MS = 120 * MINUTE_MS
# Real names first, with the oddities early so that a small market has them too: non-ASCII, a 1000-prefix, a recent
# listing.
_PRICES = {
    "BTC": 97000.0, "ETH": 3400.0, "SOL": 190.0, "币安人生": 0.21, "PEPE": 0.0000112, RECENT: 1.7, "BNB": 880.0,
    "XRP": 2.3, "DOGE": 0.19, "ADA": 0.61, "TRX": 0.29, "LINK": 17.2, "AVAX": 21.5, "SUI": 2.6, "XLM": 0.29,
    "BCH": 510.0, "HBAR": 0.17, "LTC": 96.0, "DOT": 3.1, "UNI": 6.4, "AAVE": 205.0, "NEAR": 2.3, "ICP": 4.9,
    "ETC": 17.1, "APT": 3.6, "FIL": 1.9, "ATOM": 2.9, "ARB": 0.29, "OP": 0.42, "INJ": 7.8, "SHIB": 0.0000098,
    "龙虾": 0.034, "WLD": 0.8, "TIA": 1.1, "SEI": 0.18, "ENA": 0.33, "LDO": 0.81, "CRV": 0.51, "RUNE": 0.9,
    "ALGO": 0.17, "VET": 0.017, "GRT": 0.06, "SAND": 0.2, "MANA": 0.23, "AXS": 1.3, "GALA": 0.0098, "CHZ": 0.032,
    "ZEC": 320.0, "DASH": 61.0, "XTZ": 0.58, "EOS": 0.41, "IOTA": 0.13, "COMP": 38.0, "SNX": 0.8, "SUSHI": 0.5,
    "YFI": 4900.0, "PENDLE": 2.8, "JUP": 0.33, "PYTH": 0.09, "STX": 0.41, "IMX": 0.42, "BONK": 0.0000124,
    "FLOKI": 0.000061, "WIF": 0.48, "ORDI": 5.1, "JTO": 0.52, "STRK": 0.13, "TON": 2.0,
}  # fmt: skip
_PER_THOUSAND = ("PEPE", "SHIB", "BONK", "FLOKI")  # perpetuals of these count thousands: 1000PEPEUSDT
_MAJORS = ("BTC", "ETH", "SOL", "BNB", "XRP")
_STABLE_AND_FIAT = {"USDC": 1.0, "FDUSD": 0.999, "TUSD": 0.998, "USDP": 0.999, "DAI": 1.0, "EUR": 1.16}
_TRADFI = {
    "XAU": ("COMMODITY", 4187.0),
    "XAG": ("COMMODITY", 52.0),
    "TSLA": ("EQUITY", 410.0),
    "NVDA": ("EQUITY", 181.0),
}


def known_price(base: str) -> float | None:
    """Roughly what one unit of a well-known asset costs in US dollars."""
    everything = _PRICES | _STABLE_AND_FIAT | {name: price for name, (_, price) in _TRADFI.items()}
    thousand = base.removeprefix("1000")
    return everything.get(base) or (everything[thousand] * 1000 if thousand in everything else None)


def _names(count: int) -> list[str]:
    """``count`` base assets: the real ones, then made-up ones of four letters."""
    names = list(_PRICES)[:count]
    number = 0
    while len(names) < count:
        consonants, vowels = "BDFGKLMNPRTVZ", "AEIO"
        first, rest = divmod(number, len(consonants) * len(vowels) * len(vowels))
        second, vowel_pair = divmod(rest, len(vowels) * len(vowels))
        one, two = divmod(vowel_pair, len(vowels))
        name = consonants[first % len(consonants)] + vowels[one] + consonants[second] + vowels[two]
        number += 1
        if name not in _PRICES:
            names.append(name + ("" if first < len(consonants) else str(first // len(consonants))))
    return names


def _price(base: str) -> float:
    return _PRICES.get(base) or float(10 ** (fraction_of("price", base) * 3.5 - 2))


def _listed_ms(base: str, now_ms: int, history_days: int) -> int:
    """Majors have the whole history, others between half and all of it."""
    today_ms = now_ms - now_ms % DAY_MS
    if base == RECENT:
        return (now_ms - RECENT_MS) // MINUTE_MS * MINUTE_MS
    if base in _MAJORS:
        return today_ms - history_days * DAY_MS
    days = history_days * (0.5 + 0.5 * fraction_of("listed", base))
    return today_ms - int(days * 1440) * MINUTE_MS


def spot_listings(count: int, now_ms: int, history_days: int) -> Iterator[Listing]:
    """``count`` USDT pairs that trade and are neither stablecoin nor fiat, and around them what a filter must leave
    out.
    """
    early = _listed_ms("BTC", now_ms, history_days)
    for base in _names(count):
        yield Listing(f"{base}USDT", base, "USDT", _price(base), _listed_ms(base, now_ms, history_days))
    for base, price in _STABLE_AND_FIAT.items():
        yield Listing(f"{base}USDT", base, "USDT", price, early)
    for base, price in (("BTCUP", 31.0), ("BTCDOWN", 0.002), ("ETHBULL", 12.0), ("LUNC", 0.00005)):
        yield Listing(f"{base}USDT", base, "USDT", price, early, status="BREAK")
    yield Listing("MARGINUSDT", "MARGIN", "USDT", 1.2, early, spot_trading=False)
    for base, quote in (("BTC", "USDC"), ("ETH", "USDC"), ("BTC", "FDUSD"), ("ADA", "EUR"), ("BTC", "USD")):
        yield Listing(f"{base}{quote}", base, quote, _PRICES[base] / _STABLE_AND_FIAT.get(quote, 1.0), early)
    for base in ("ETH", "SOL", "BNB"):
        yield Listing(f"{base}BTC", base, "BTC", _PRICES[base] / _PRICES["BTC"], early)


def um_listings(count: int, now_ms: int, history_days: int) -> Iterator[Listing]:
    """``count`` USDT perpetuals that trade, and around them stock and metal perpetuals, quarterlies, settled and
    pending ones.
    """
    early = _listed_ms("BTC", now_ms, history_days)
    for base in _names(count):
        thousand = base in _PER_THOUSAND
        name, price = (f"1000{base}", _price(base) * 1000) if thousand else (base, _price(base))
        yield Listing(f"{name}USDT", name, "USDT", price, _listed_ms(base, now_ms, history_days))
    for base, (kind, price) in _TRADFI.items():
        listed = now_ms // DAY_MS * DAY_MS - min(300, history_days) * DAY_MS
        yield Listing(f"{base}USDT", base, "USDT", price, listed, contract_type="TRADIFI_PERPETUAL", underlying=kind)
    for base, price in (("OMG", 0.21), ("FTM", 0.68)):
        settled = now_ms // DAY_MS * DAY_MS - 200 * DAY_MS
        yield Listing(
            f"{base}USDT", base, "USDT", price, settled - 100 * DAY_MS, status="SETTLING", delivery_ms=settled
        )
    yield Listing("GAIBUSDT", "GAIB", "USDT", 0.05, early, status="PENDING_TRADING")
    for base in ("BTC", "ETH"):
        yield Listing(f"{base}USDC", base, "USDC", _PRICES[base], early)
        for kind, at in quarter_ends(now_ms):
            yield _quarterly(base, "USDT", kind, at, now_ms)
    yield Listing("ETHBTC", "ETH", "BTC", _PRICES["ETH"] / _PRICES["BTC"], early)


def cm_listings(now_ms: int, history_days: int) -> Iterator[Listing]:
    """Coin-margined perpetuals and quarterlies against USD."""
    for base in (*_MAJORS, "ADA", "LINK", "DOGE"):
        listed = _listed_ms(base, now_ms, history_days)
        yield Listing(f"{base}USD_PERP", base, "USD", _PRICES[base], listed, pair=f"{base}USD")
    settled = now_ms // DAY_MS * DAY_MS - 100 * DAY_MS
    yield Listing(
        "EGLDUSD_PERP",
        "EGLD",
        "USD",
        9.0,
        settled - 100 * DAY_MS,
        status="SETTLING",
        delivery_ms=settled,
        pair="EGLDUSD",
    )
    for base in ("BTC", "ETH"):
        for kind, at in quarter_ends(now_ms):
            yield _quarterly(base, "USD", kind, at, now_ms)


def _quarterly(base: str, quote: str, kind: str, at: datetime, now_ms: int) -> Listing:
    listed = now_ms // DAY_MS * DAY_MS - 60 * DAY_MS
    pair = f"{base}{quote}"
    return Listing(
        f"{pair}_{at:%y%m%d}", base, quote, _PRICES[base], listed, contract_type=kind, delivery_ms=to_ms(at), pair=pair
    )


def quarter_ends(now_ms: int) -> list[tuple[str, datetime]]:
    """Contract type and delivery (last Friday of the quarter, 08:00 UTC) of the two quarterlies that trade now."""
    now = from_ms(now_ms)
    ends = [
        end for year in (now.year, now.year + 1) for month in (3, 6, 9, 12) if (end := _last_friday(year, month)) > now
    ]
    return [("CURRENT_QUARTER", ends[0]), ("NEXT_QUARTER", ends[1])]


def _last_friday(year: int, month: int) -> datetime:
    first_of_next = datetime(year + month // 12, month % 12 + 1, 1, 8, tzinfo=UTC)
    last_day = first_of_next - timedelta(days=1)
    friday = 4
    return last_day - timedelta(days=(last_day.weekday() - friday) % 7)
