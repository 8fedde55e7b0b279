"""Step: the factors of the run time, where the config names some."""

from __future__ import annotations

from functools import partial

import structlog

from flows.steps.context import Period, to_the_end
from kit.calculators.period import compute
from kit.calculators.store import FactorStore
from kit.factors.errors import FactorError
from kit.market import Market

log = structlog.get_logger(__name__)


async def compute_factors(period: Period) -> str:
    """Compute them from what is readable now, and keep them with what was missing and what went wrong.

    Raises:
        FactorError: one has no value for any symbol, and not for want of history. All are kept even so; but strategies
        would wait for it in vain, so people are told.
    """
    if not period.config.factors:
        return "not configured"
    result = await to_the_end(partial(compute, Market(period.folder.base_dir), period.run_time))
    await to_the_end(partial(FactorStore(period.folder).put, result))
    log.info(
        "factors.computed",
        market=period.folder.candles.name,
        run_time=period.run_time.isoformat(),
        symbols=result.frame.height,
        missing=list(result.missing[:20]),
        errors=len(result.errors),
    )
    if dead := result.dead:
        column, sentence = next(iter(dead.items()))
        others = f", nor have {len(dead) - 1} other factors" if len(dead) > 1 else ""
        raise FactorError(column, f"no symbol has a value{others} ({sentence})")
    return f"{result.frame.height} symbols" + (f", {len(result.errors)} problems" if result.errors else "")
