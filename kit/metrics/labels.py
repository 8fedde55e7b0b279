"""What a market is called in a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path


def market_labels(names: Mapping[Path, str]) -> dict[Path, str]:
    """A label for each base directory, given its market's name (``usdt_perp_1m``).

    Two folders may hold the same market; two series with the same labels would make the whole scrape fail.
    """
    often = Counter(names.values())
    return {base_dir: name if often[name] == 1 else f"{name}@{base_dir}" for base_dir, name in names.items()}
