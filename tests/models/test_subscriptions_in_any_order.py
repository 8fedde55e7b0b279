"""Whatever is listed, lost, refused or forgotten: the exchange ends with the wanted streams, each once."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

from tests.models.subscription_machine import SubscriptionMachine

TestSubscriptionsInAnyOrder = SubscriptionMachine.TestCase
TestSubscriptionsInAnyOrder.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),
)


def test_a_stream_that_was_not_left_is_found_by_the_list_even_when_no_subscribe_was_ever_answered():
    machine = SubscriptionMachine()
    machine.begin(listeners=1, max_streams=200, first=set())
    machine.changes({"a", "b"}, set())
    _, side = machine.ends[0]
    side.faults |= {"no answers", "does not leave"}
    machine.passes(70.0)
    machine.changes(set(), {"b"})
    machine.passes(70.0)
    assert side.subscribed == {"a", "b"}
    machine.teardown()
    assert side.subscribed == {"a"}
