"""What a period leaves in Prefect beside the states of its run: artifacts for people, events for automations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect.client.schemas.actions import ArtifactCreate
from prefect.events import emit_event

from flows.artifacts import artifacts_of, key_of
from flows.events import changes_by, happenings, resource_of

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient

    from flows.board import Ending, Work


async def attach(client: PrefectClient, run_id: UUID, work: Work, ending: Ending) -> None:
    """Create a period's artifacts as those of that run. Raises what Prefect's client raises, and what
    ``artifacts_of`` does."""
    for each in artifacts_of(work, ending):
        await client.create_artifact(
            ArtifactCreate(
                key=key_of(work, each.name),
                type=each.kind,
                data=each.data,
                description=each.description,
                flow_run_id=run_id,
            )
        )


def tell(work: Work, ending: Ending) -> None:
    """Hand a period's events to Prefect's client, which sends them from a thread of its own."""
    run_time = work.run_time.isoformat()
    for each in happenings(work, ending, changes_by(work, ending)):
        payload = {"run_time": run_time, **each.payload}
        emit_event(each.name, resource_of(work.market), each.occurred, payload=payload)
