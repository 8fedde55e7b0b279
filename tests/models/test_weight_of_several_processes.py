"""Processes that come, wait, are killed and are told to stop: the exchange never counts more than its limit."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.models.weight_machine import WeightMachine

TestWeightOfSeveralProcesses = WeightMachine.TestCase
TestWeightOfSeveralProcesses.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),
)
