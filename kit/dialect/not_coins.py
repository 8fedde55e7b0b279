"""Base assets of spot that are no coin with a price of its own: one list, one place.

How it was made (2026-11): the currencies and stablecoins that ever were the base of a spot pair on the exchange,
from its exchangeInfo of 2021-10 and its listing announcements since, joined with the list that users of BMAC carry
in their own strategies. An asset that lost its peg and trades freely is a coin (USTC); gold in tokens (PAXG, XAUT)
is neither a stablecoin nor a currency and stays. Names are whole base assets: nothing is parsed out of a symbol, so
JUP and SUPER are what they are.
"""

from __future__ import annotations

FIAT = frozenset(
    {
        *("AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CNY", "COP", "CZK", "EUR", "GBP", "HKD", "IDR", "INR", "JPY"),
        *("KRW", "KZT", "MXN", "MYR", "NGN", "NZD", "PHP", "PKR", "PLN", "RON", "RUB", "SAR", "SGD", "THB", "TRY"),
        *("TWD", "UAH", "USD", "VND", "ZAR"),
    }
)

STABLECOINS = frozenset(
    {
        # US dollar, in use
        *("BFUSD", "DAI", "FDUSD", "GUSD", "PYUSD", "RLUSD", "TUSD", "U", "USD1", "USDC", "USDE", "USDF", "USDP"),
        *("USDS", "USDT", "XUSD"),
        # US dollar, gone
        *("BUSD", "PAX", "SUSD", "USDSB", "UST"),
        # other currencies
        *("AEUR", "BBRL", "BIDR", "BKRW", "BRL1", "BVND", "EURI", "IDRT", "MXNB", "NGNT", "USBP"),
    }
)

# The exchange ended its leveraged tokens in 2024 and those of FTX in 2020, so this list is final. Where they are still
# listed, the newer ones also say isSpotTradingAllowed: false; the older ones do not.
LEVERAGED = frozenset(
    {
        *("BULL", "BEAR"),
        *(f"{coin}{side}" for coin in ("BNB", "EOS", "ETH", "XRP") for side in ("BULL", "BEAR")),
        *(
            f"{coin}{side}"
            for coin in (
                *("1INCH", "AAVE", "ADA", "BCH", "BNB", "BTC", "DOT", "EOS", "ETH", "FIL", "LINK", "LTC", "SUSHI"),
                *("SXP", "TRX", "UNI", "XLM", "XRP", "XTZ", "YFI"),
            )
            for side in ("UP", "DOWN")
        ),
    }
)

NOT_COINS = FIAT | STABLECOINS | LEVERAGED
