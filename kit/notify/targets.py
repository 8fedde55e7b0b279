"""Who is told: the targets that a configuration names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.config import DINGTALK_HOST, MarketConfig, Robot

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Target:
    """One receiver. ``name`` tells people where it stands in the config; it holds no secret.

    Either ``robot`` or ``url`` (an apprise URL) is set. ``dingtalk_host`` is where DingTalk's robots live.
    """

    name: str
    dingtalk_host: str
    robot: Robot | None = None
    url: str = field(default="", repr=False)


def targets_of(config: MarketConfig, robots: Collection[str] | None = None) -> list[Target]:
    """Every URL of ``notify``, and of ``dingding`` the robots so named (None: all).

    A robot called ``default`` (one written without a name) takes every message.
    """
    host = config.endpoints.dingding or DINGTALK_HOST
    chosen = [
        Target(f"dingding.{name}", host, robot=robot)
        for name, robot in (config.dingding or {}).items()
        if robots is None or name in robots or name == "default"
    ]
    for number, url in enumerate(config.notify):
        text = url.get_secret_value()
        chosen.append(Target(f"notify[{number}] ({text.partition('://')[0]})", host, url=text))
    return chosen
