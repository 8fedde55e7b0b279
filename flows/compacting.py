"""Step: compaction, so that readers open few files."""

from __future__ import annotations

import asyncio

from flows.context import Period
from kit.buffer.compaction import compact
from kit.words import to_ms


async def compact_buffer(period: Period) -> str:
    """Build the blocks that are due and delete what they absorbed long ago."""
    step = period.window.step_ms
    built = await asyncio.to_thread(
        compact,
        period.folder,
        exchange_ms=to_ms(period.exchange_now()),
        window_ms=period.window.first_ms + step,
        active=period.trading,
        filling=bool(period.history_left),
    )
    return f"{built} blocks"
