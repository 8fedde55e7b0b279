"""Step: resampled candles, where the config asks for them."""

from __future__ import annotations

from functools import partial

from flows.steps.context import Period, to_the_end
from kit.resample.update import update_resample


async def resample(period: Period) -> str:
    """Add the candles of the offset that closes now, and those of which a part was filled or revised since."""
    if period.config.resample is None:
        return "not configured"
    written = await to_the_end(partial(update_resample, period.folder, period.config, period.run_time))
    return f"{written} candles"
