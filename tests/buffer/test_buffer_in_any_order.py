"""Whatever happens to a buffer, in any order and with a crash at any step: what was readable stays readable."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.buffer.machine import BufferMachine


class ParquetMachine(BufferMachine):
    save_type = "parquet"


class FeatherMachine(BufferMachine):
    save_type = "feather"


# No shrinking: the steps are told as they are, and a failure must not take minutes.
BOUNDS = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "phases": (Phase.explicit, Phase.generate),
}

TestParquetBufferInAnyOrder = ParquetMachine.TestCase
TestParquetBufferInAnyOrder.settings = settings(max_examples=8, stateful_step_count=35, **BOUNDS)
TestFeatherBufferInAnyOrder = FeatherMachine.TestCase
TestFeatherBufferInAnyOrder.settings = settings(max_examples=4, stateful_step_count=30, **BOUNDS)
