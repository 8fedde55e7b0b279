"""Integers counted in a smallest unit, written as the exchange's decimal strings. Never floats: sums stay exact."""

from __future__ import annotations

from decimal import Decimal

import polars as pl


def places_of(text: str) -> int:
    """Digits behind the point of a decimal string: ``"0.10"`` has 2, ``"5"`` has 0."""
    return len(text.partition(".")[2])


def units_of(text: str, places: int) -> int:
    """A decimal string as a count of ``10 ** -places``.

    Raises:
        ValueError: it has more digits than ``places``.
    """
    scaled = Decimal(text).scaleb(places)
    if scaled != int(scaled):
        raise ValueError(f"{text} has more than {places} decimal places")
    return int(scaled)


def write(units: int, places: int) -> str:
    """One count of ``10 ** -places`` (not negative) as a decimal string with exactly that many places."""
    if places == 0:
        return str(units)
    digits = str(units).zfill(places + 1)
    return f"{digits[:-places]}.{digits[-places:]}"


def written(column: str, unit: int, places: int) -> pl.Expr:
    """A column of counts of ``unit * 10 ** -places`` as decimal strings, as :func:`write` does for one."""
    units = pl.col(column) * unit
    if places == 0:
        return units.cast(pl.String).alias(column)
    one = 10**places
    behind = (units % one).cast(pl.String).str.zfill(places)
    return pl.format("{}.{}", units // one, behind).alias(column)
