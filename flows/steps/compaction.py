"""Step: compaction, so that readers open few files."""

from __future__ import annotations

from functools import partial

from flows.steps.context import Period, to_the_end
from kit.buffer.compaction import compact
from kit.words import to_ms


async def compact_buffer(period: Period) -> str:
    """Build the blocks that are due and delete what they absorbed long ago."""
    step = period.window.step_ms
    built = await to_the_end(
        partial(
            compact,
            period.folder,
            exchange_ms=to_ms(period.exchange_now()),
            window_ms=period.window.first_ms + step,
            active=period.trading,
            filling=bool(period.history_left),
        )
    )
    return f"{built} blocks"
