"""Step: the factors of the run time, where the config names some."""

from __future__ import annotations

from functools import partial

import structlog

from flows.steps.context import Period, to_the_end
from kit.calculators.period import compute
from kit.calculators.store import FactorStore
from kit.market import Market

log = structlog.get_logger(__name__)


async def compute_factors(period: Period) -> str:
    """Compute them from what is readable now, and keep them with what was missing and what went wrong."""
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
    return f"{result.frame.height} symbols" + (f", {len(result.errors)} problems" if result.errors else "")
