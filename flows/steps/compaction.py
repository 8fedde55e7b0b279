"""Step: compaction, so that readers open few files."""

from __future__ import annotations

from functools import partial

from flows.steps.context import Period, to_the_end
from kit.buffer.compaction import compact
from kit.buffer.read import current_view

LOOSE = 128
"""So many slices outside of blocks are no more in order: it is a dozen at 1m and longer, some fifty at 1s."""


def compaction_overdue(period: Period) -> bool:
    """Whether it has not been done for long. Periods that are cut never come to their end, where it stands, and each
    one that reads more files takes longer than the last."""
    return len(current_view(period.folder).streams) > LOOSE


async def compact_buffer(period: Period) -> str:
    """Build the blocks that are due and delete what they absorbed long ago."""
    step = period.window.step_ms
    built = await to_the_end(
        partial(
            compact,
            period.folder,
            exchange_ms=period.sure_ms,
            window_ms=period.kept_from_ms + step,
            active=period.trading,
            filling=bool(period.history_left),
        )
    )
    return f"{built} blocks"
