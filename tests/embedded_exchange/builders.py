"""Small builders the tests of the embedded exchange share. Times are fixed, so nothing depends on today."""

import json

from kit.embedded_exchange.front import Asked, Front
from kit.embedded_exchange.market import Market
from kit.embedded_exchange.settings import Finals, Settings

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
NOON = 1_795_348_800_000  # 2026-11-22 12:00:00 UTC
SMALL = Settings(symbols=8, history_days=400, finals=Finals("burst"))


def market(settings=SMALL, now_ms=NOON):
    return Market(settings, now_ms)


def front(settings=SMALL, *, spot=False, now_ms=NOON):
    return Front(Market(settings, now_ms), settings, spot=spot)


def get(front, path, now_ms=NOON, address="127.0.0.1", time_unit="", **params):
    """Status, decoded body and headers of one request."""
    asked = Asked(path, {name: str(value) for name, value in params.items()}, address, time_unit)
    reply = front.reply(asked, now_ms)
    body = json.loads(reply.body) if reply.headers["Content-Type"].startswith("application/json") else reply.body
    return reply.status, body, reply.headers
