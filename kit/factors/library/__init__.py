"""The shipped factors: a name, and for a window n the factor. Adding one is an entry here and a test of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kit.errors import UnknownWordError
from kit.factors.factor import Factor
from kit.factors.library import market, momentum, oscillators, turnover, volatility

LIBRARY: Mapping[str, Callable[[int], Factor]] = MappingProxyType(
    {
        build.__name__: build
        for module in (momentum, oscillators, volatility, turnover, market)
        for build in module.FACTORS
    }
)
"""By name, as a config's ``factors`` spell it."""


def shipped(name: str, window: int) -> Factor:
    """The shipped factor of that name and window.

    Raises:
        UnknownWordError: there is none; suggests the nearest.
        FactorError: it does not exist for that window.
    """
    if name not in LIBRARY:
        raise UnknownWordError("factor", name, sorted(LIBRARY))
    return LIBRARY[name](window)
