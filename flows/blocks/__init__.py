"""A notification block for Prefect's automations that tells whom a market's config names.

Prefect's own blocks know no DingTalk, and keep addresses with their secrets in its database. This one keeps a folder's
path; the receivers, DingTalk robots among them, are read from that folder's ``config.json`` when something is told.

Prefect's server finds this module by the entry point group ``prefect.collections`` (pyproject.toml), imports it when
it starts, and needs it again whenever an automation tells something. So it imports nothing of ours but when it sends,
and what keeps that server from standing still.
"""

from __future__ import annotations

from pathlib import Path

from prefect.blocks.abstract import NotificationBlock, NotificationError
from pydantic import Field, field_validator

from flows.blocks.garbage import collect_apart_in_a_server

collect_apart_in_a_server()


class BmacNotification(NotificationBlock):
    """Tells everybody whom the config of ``base_dir`` names: ``notify`` and ``dingding``."""

    _block_type_name = "BMAC notification"
    _block_type_slug = "bmac-notification"
    _description = "Tells whom a BMAC market's config.json names (apprise URLs and DingTalk robots)."

    base_dir: str = Field(
        description="The market's folder on the Prefect server's machine, absolute; its config.json names who is told."
    )

    @field_validator("base_dir")
    @classmethod
    def _absolute(cls, text: str) -> str:
        if not Path(text).is_absolute():
            raise ValueError("must be an absolute path: the server's working directory says nothing")
        return text

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send to all receivers.

        Raises:
            NotificationError: while ``raise_on_failure`` holds, when one got nothing, or none is configured.
        """
        problem = await _problem_of_sending(Path(self.base_dir), subject or "Prefect", body)
        if problem and self._raise_on_failure:
            raise NotificationError(problem)
        if problem:
            self.logger.error(problem)


async def _problem_of_sending(base_dir: Path, title: str, body: str) -> str:
    """Send; what went wrong, without secrets, or nothing."""
    from kit.config import load_config  # noqa: PLC0415 - the server imports this module; only who sends pays for ours
    from kit.errors import BmacError  # noqa: PLC0415 - same
    from kit.notify import send  # noqa: PLC0415 - same

    try:
        config = load_config(base_dir)
    except (BmacError, OSError) as error:
        return f"nobody was told: {error}"
    outcomes = await send(config, title, body)
    if not outcomes:
        return f"nobody was told: {base_dir}/config.json names no receiver in notify or dingding"
    return "; ".join(f"{outcome.target}: {outcome.error}" for outcome in outcomes if not outcome.ok)
