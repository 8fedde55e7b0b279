"""A process that spends weight at a counting server: ``spender.py FOLDER URL WINDOW_MS LIMIT REQUESTS``."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import random
import sys
from datetime import timedelta
from pathlib import Path

import aiohttp

from kit.budget import Urgency, WeightBudget
from kit.words import to_ms


async def spend(folder: Path, url: str, window_ms: int, limit: int, requests: int) -> None:
    window = timedelta(milliseconds=window_ms)
    chance = random.Random(requests)
    with contextlib.closing(WeightBudget("counted", folder, limit=limit, window=window)) as budget:
        budget.set_clock_offset(0)
        async with aiohttp.ClientSession() as session:

            async def one() -> None:
                weight = chance.choice([1, 2, 5])
                async with budget.reserve(weight, chance.choice(list(Urgency))) as reservation:
                    async with session.get(url, params={"weight": weight}) as response:
                        await response.read()
                        used = int(response.headers["X-MBX-USED-WEIGHT-1M"])
                        date = to_ms(email.utils.parsedate_to_datetime(response.headers["Date"]))
                    if chance.random() < 0.9:  # otherwise as if the answer was lost
                        reservation.settle(used_header=used, date_ms=date)

            await asyncio.gather(*(one() for _ in range(requests)))


if __name__ == "__main__":
    asyncio.run(spend(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])))
