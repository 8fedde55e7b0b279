"""What these tests take for granted of the machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def machine(room_on_the_disk: None) -> None:
    """One that has no trouble of its own."""
