"""Exchange-info records of made-up symbols, field for field as the three venues send them (recorded answers of 2021
to 2026).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from kit.embedded_exchange.decimals import write

NEVER_MS = 4_133_404_800_000  # 2100-12-25, what live perpetuals carry as their delivery date
_SIGNIFICANT_DIGITS = 6
_SPOT_ORDERS = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
_FUTURES_ORDERS = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]
_PERMISSIONS = ["SPOT", "MARGIN", *(f"TRD_GRP_{number:03}" for number in range(4, 34))]


@dataclass(frozen=True)
class Listing:
    """What is decided about a symbol before its record is written. ``name`` as listed; ``pair`` without a delivery
    date.
    """

    name: str
    base: str
    quote: str
    price: float
    listed_ms: int
    status: str = "TRADING"
    contract_type: str = "PERPETUAL"
    delivery_ms: int = NEVER_MS
    underlying: str = "COIN"
    spot_trading: bool = True
    pair: str = field(default="")


def tick_places(price: float) -> int:
    """Digits behind the point that leave a price about six significant digits."""
    return max(0, min(8, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(price))))


def step_places(price: float) -> int:
    """Digits of a quantity: the dearer, the more."""
    return max(0, min(5, math.floor(math.log10(price)) + 1))


def spot_record(listing: Listing) -> dict[str, Any]:
    """One symbol of ``/api/v3/exchangeInfo``; numbers with eight places, permission sets nested and ``permissions``
    empty.
    """
    tick = write(10 ** (8 - tick_places(listing.price)), 8)
    step = write(10 ** (8 - step_places(listing.price)), 8)
    return {
        "symbol": listing.name,
        "status": listing.status,
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _SPOT_ORDERS,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": True,
        "isSpotTradingAllowed": listing.spot_trading,
        "isMarginTradingAllowed": listing.status == "TRADING",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "90000000.00000000", "stepSize": step},
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000",
             "maxQty": "1000.00000000", "stepSize": "0.00000000"},
            {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000,
             "minTrailingBelowDelta": 10, "maxTrailingBelowDelta": 2000},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True,
             "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": [_PERMISSIONS if listing.spot_trading else _PERMISSIONS[1:]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
    }  # fmt: skip


def um_record(listing: Listing) -> dict[str, Any]:
    """One symbol of ``/fapi/v1/exchangeInfo``."""
    record = _futures_record(listing, min(3, step_places(listing.price)))
    record["status"] = listing.status
    record["permissionSets"] = ["GRID", "COPY", "DCA", "PSB"]
    return record


def cm_record(listing: Listing) -> dict[str, Any]:
    """One symbol of ``/dapi/v1/exchangeInfo``: ``contractStatus`` in place of ``status``, and a ``contractSize`` in
    USD.
    """
    record = _futures_record(listing, 0)
    record["contractStatus"] = listing.status
    record["contractSize"] = 100 if listing.base == "BTC" else 10
    record["equalQtyPrecision"] = 4
    record["maxMoveOrderLimit"] = 10000
    return record


def _futures_record(listing: Listing, quantity_places: int) -> dict[str, Any]:
    places = tick_places(listing.price)
    tick, step = write(1, places), write(1, quantity_places)
    return {
        "symbol": listing.name,
        "pair": listing.pair or listing.name,
        "contractType": listing.contract_type,
        "deliveryDate": listing.delivery_ms,
        "onboardDate": listing.listed_ms,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.base if listing.quote == "USD" else listing.quote,
        "pricePrecision": places,
        "quantityPrecision": quantity_places,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": listing.underlying,
        "underlyingSubType": ["TradFi"] if listing.contract_type == "TRADIFI_PERPETUAL" else [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "1000000", "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": "12000", "stepSize": step},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500",
             "multiplierDown": "0.9500", "multiplierDecimal": "4"},
        ],
        "orderTypes": _FUTURES_ORDERS,
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip
