"""From the pairs of a config, ``[["PctChg", 100], ...]``, to factors that can be computed.

A name is looked up in the user's package first: the module ``{package}.{name}`` has

- ``factor(n)``, which returns a ``kit.factors.factor.Factor``: a native one, fast, over the whole market; or
- ``signal(df, n, factor_name)``: a module in BMAC's form, taken as it is.

A module that is not there leaves the name to the shipped factors (``kit.factors.library``), where that is wanted.
The package is found as Python finds any: from the folder the program was started in, or by PYTHONPATH.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

from kit.errors import BmacError
from kit.factors.errors import FactorError
from kit.factors.factor import Factor
from kit.factors.guard import Guard
from kit.factors.library import LIBRARY, shipped
from kit.factors.signals import Signal


@dataclass(frozen=True)
class Found:
    """What the pairs came to. ``columns``: all of them, in the order asked for, also those that cannot be used, whose
    reasons are in ``errors``."""

    columns: tuple[str, ...]
    factors: tuple[Factor, ...]
    signals: tuple[Signal, ...]
    errors: tuple[FactorError, ...]


def find_factors(pairs: Iterable[Sequence[object]], package: str | None, *, with_shipped: bool = True) -> Found:
    """Look every pair of name and window up. What cannot be used is in ``errors``; the rest stays usable."""
    columns: dict[str, None] = {}
    factors: list[Factor] = []
    signals: list[Signal] = []
    errors: list[FactorError] = []
    importlib.invalidate_caches()  # a module may have been written since this process started
    for pair in pairs:
        name, window = _checked(pair)
        column = f"{name}_{window}"
        if column in columns:
            continue
        columns[column] = None
        try:
            found = _find(name, window, package, with_shipped=with_shipped)
        except FactorError as error:
            errors.append(error)
            continue
        if isinstance(found, Factor):
            factors.append(found)
        else:
            signals.append(found)
    return Found(tuple(columns), tuple(factors), tuple(signals), tuple(errors))


def _checked(pair: Sequence[object]) -> tuple[str, int]:
    if isinstance(pair, str) or len(pair) != 2:  # noqa: PLR2004 - a pair
        raise FactorError(str(pair), 'it is not a pair of name and window, such as ["PctChg", 100]')
    name, window = pair
    if not isinstance(name, str) or isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise FactorError(f"{name}_{window}", "its window is not a whole number from 1 on")
    return name, window


def _find(name: str, window: int, package: str | None, *, with_shipped: bool) -> Factor | Signal:
    column = f"{name}_{window}"
    module = None if package is None else _module(f"{package}.{name}", column)
    if module is not None:
        return _from_module(module, name, window)
    if with_shipped and name in LIBRARY:
        return _built(column, name, window)
    places = [f"there is no module {package}.{name}"] if package is not None else []
    if with_shipped:
        places.append(f"no shipped factor has that name ({', '.join(sorted(LIBRARY))})")
    raise FactorError(column, " and ".join(places))


def _built(column: str, name: str, window: int) -> Factor:
    try:
        return shipped(name, window)
    except FactorError:
        raise
    except BmacError as error:
        raise FactorError(column, str(error)) from error


def _module(path: str, column: str) -> ModuleType | None:
    """The module, or None when there is none of that name.

    Raises:
        FactorError: there is one, but importing it fails.
    """
    guard = Guard()
    with guard:
        return importlib.import_module(path)
    missing = guard.error
    absent = missing.name if isinstance(missing, ModuleNotFoundError) else None
    if absent is not None and (path == absent or path.startswith(f"{absent}.")):
        return None
    raise FactorError(column, f"module {path} cannot be imported: {guard.problem}") from missing


def _from_module(module: ModuleType, name: str, window: int) -> Factor | Signal:
    column = f"{name}_{window}"
    build = getattr(module, "factor", None)
    if callable(build):
        guard = Guard()
        with guard:
            built = build(window)
            if isinstance(built, Factor) and built.column == column:
                return built
            raise FactorError(column, f"{module.__name__}.factor({window}) returned {_described(built)}")
        if isinstance(guard.error, FactorError):
            raise guard.error
        raise FactorError(column, f"{module.__name__}.factor({window}): {guard.problem}") from guard.error
    function = getattr(module, "signal", None)
    if callable(function):
        return Signal(name, window, function)
    raise FactorError(column, f"module {module.__name__} has neither signal(df, n, factor_name) nor factor(n)")


def _described(built: object) -> str:
    return f"the factor {built.column}" if isinstance(built, Factor) else f"{type(built).__name__}, not a Factor"
