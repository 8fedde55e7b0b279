"""Where this machine's budgets lie."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import platformdirs

STATE_DIR_VARIABLE = "BMAC_STATE_DIR"


def state_folder() -> Path:
    """Where this machine's budgets are kept: ``BMAC_STATE_DIR``, or the user's state folder."""
    named = os.environ.get(STATE_DIR_VARIABLE)
    return Path(named) if named else platformdirs.user_state_path("bmac")


def file_name(pool: str) -> str:
    """A file name for a pool, whatever is in its name; different pools get different names."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", pool)[:80]
    return f"{plain}-{hashlib.sha256(pool.encode()).hexdigest()[:8]}.budget"
