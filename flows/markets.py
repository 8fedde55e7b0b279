"""Which markets a worker serves, and when each of them is due: read from folders and from ``prefect.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kit.config import MarketConfig, load_config
from kit.errors import ConfigError, FolderError, NaiveTimeError
from kit.words import EPOCH

if TYPE_CHECKING:
    from datetime import timedelta

REPOSITORY = Path(__file__).resolve().parent.parent
LIVE_POOL = "bmac-live"
"""The work pool whose deployments run in the one long-lived process of ``python -m flows worker``."""

FIRST_CANDLE = datetime(2017, 7, 14, tzinfo=UTC)
"""The day of the exchange's first ones."""


@dataclass(frozen=True)
class Pace:
    """How often a market's period comes, and how long after the close its work starts."""

    interval: timedelta
    offset: timedelta

    def target(self, run_time: datetime) -> datetime:
        """When the work of that run time starts."""
        return run_time + self.offset

    def newest_closed(self, now: datetime) -> datetime:
        """The newest run time that is not in the future. NaiveTimeError for a time without a zone."""
        if now.tzinfo is None:
            raise NaiveTimeError(now)
        return now - (now - EPOCH) % self.interval

    def newest_due(self, now: datetime) -> datetime:
        """The newest run time whose work should have started by ``now``."""
        return self.newest_closed(now - self.offset)

    def on_grid(self, run_time: datetime) -> bool:
        """Whether a candle of this interval closes at that moment."""
        return not (run_time - EPOCH) % self.interval


@dataclass(frozen=True)
class ServedMarket:
    """A market as the clock and Prefect's side need it. ``label`` is for people: ``usdt_perp 5m``."""

    base_dir: Path
    label: str
    pace: Pace


def resolve_base_dir(text: str | Path) -> Path:
    """The absolute folder; a relative one counts from the repository, whatever the working directory is.

    A process worker starts runs in a temporary folder, so the working directory says nothing.
    """
    return (REPOSITORY / Path(text).expanduser()).resolve()


def pace_of(config: MarketConfig) -> Pace:
    """The pace that a configuration asks for."""
    return Pace(config.interval.delta, config.offset)


def label_of(config: MarketConfig) -> str:
    """The market's name for people."""
    return f"{config.trade_type} {config.interval}"


def served_market(base_dir: str | Path) -> ServedMarket:
    """The market of a base directory.

    Raises:
        ConfigError: its ``config.json`` is missing or wrong.
    """
    path = resolve_base_dir(base_dir)
    config = load_config(path)
    return ServedMarket(path, label_of(config), pace_of(config))


def live_base_dirs(prefect_file: Path) -> list[Path]:
    """The folders of the deployments in ``prefect.yaml`` that belong to the live pool, each once.

    Raises:
        ConfigError: the file is missing, is not YAML, or names no such deployment.
    """
    folders = [_base_dir_of(prefect_file, deployment) for deployment in _deployments(prefect_file)]
    found = [folder for folder in dict.fromkeys(folders) if folder is not None]
    if not found:
        raise ConfigError(str(prefect_file), [f"no deployment has the work pool {LIVE_POOL}"])
    return found


def _deployments(prefect_file: Path) -> list[Any]:
    try:
        content = yaml.safe_load(prefect_file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(str(prefect_file), [f"cannot be read: {error}"]) from error
    deployments = content.get("deployments") if isinstance(content, dict) else None
    return deployments if isinstance(deployments, list) else []


def _base_dir_of(prefect_file: Path, deployment: Any) -> Path | None:
    """The folder of a deployment of the live pool; None for another pool's."""
    match deployment:
        case {"work_pool": {"name": str(pool)}} if pool != LIVE_POOL:
            return None
        case {"work_pool": {"name": str()}, "parameters": {"base_dir": str(text)}} if text:
            return resolve_base_dir(text)
        case {"work_pool": {"name": str()}, "name": name}:
            raise ConfigError(str(prefect_file), [f"deployment {name} has no parameters.base_dir"])
        case _:
            return None


def check_run_time(pace: Pace, base_dir: Path, run_time: datetime, now: datetime) -> None:
    """Refuse a run time that no candle closes at.

    Raises:
        NaiveTimeError: it has no zone.
        FolderError: it is not on the market's grid, in the future, or before there was an exchange.
    """
    if run_time.tzinfo is None:
        raise NaiveTimeError(run_time)
    if run_time < FIRST_CANDLE:
        raise FolderError(str(base_dir), f"run time {run_time.isoformat()} is before the exchange's first candle")
    if not pace.on_grid(run_time):
        raise FolderError(str(base_dir), f"run time {run_time.isoformat()} is no multiple of {pace.interval}")
    if run_time > pace.newest_closed(now):
        raise FolderError(str(base_dir), f"run time {run_time.isoformat()} is in the future")
