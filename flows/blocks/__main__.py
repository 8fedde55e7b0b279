"""``python -m flows.blocks BASE_DIR``: keep the notification block of that folder in Prefect, and print its id.

With ``--automations FILE`` it prints that file instead, the id in the place of ``BLOCK_ID``, and deletes the
automations of the same names, so that ``prefect automation create --from-file`` replaces them:
deployments/automations.sh.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import yaml
from prefect.client.orchestration import get_client

from flows.blocks import BmacNotification

NAME, PLACE = "bmac", "BLOCK_ID"


def main(
    base_dir: Annotated[Path, typer.Argument(help="The folder whose config.json names who is told.", exists=True)],
    *,
    name: Annotated[str, typer.Option(help="The block's name; an earlier one of this name is replaced.")] = NAME,
    automations: Annotated[Path | None, typer.Option(help="A file of automations to fill in.", exists=True)] = None,
) -> None:
    """Keep the block, and print its id or the automations that refer to it."""
    text = PLACE if automations is None else automations.read_text(encoding="utf-8")
    names = [] if automations is None else [each["name"] for each in yaml.safe_load(text)["automations"]]
    print(text.replace(PLACE, asyncio.run(_keep(base_dir.resolve(), name, names))))


async def _keep(base_dir: Path, name: str, automations: list[str]) -> str:
    """Save the block and delete the automations of these names; the block's id."""
    async with get_client() as client:
        block_id = await BmacNotification(base_dir=str(base_dir)).asave(name, overwrite=True, client=client)
        for automation in automations:
            for known in await client.read_automations_by_name(automation):
                await client.delete_automation(known.id)
    return str(block_id)


if __name__ == "__main__":
    typer.run(main)
