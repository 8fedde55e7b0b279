"""``BASE_DIR/config.json`` as one frozen value, or every reason why not."""

from __future__ import annotations

import json
import stat
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from kit.config.model import MarketConfig
from kit.config.problems import json_problem, problems_of, reading_problem
from kit.errors import ConfigError
from kit.logs import keep_secret
from kit.outside import MEGABYTE, read_bounded
from kit.words import TradeType, Venue

CONFIG_NAME = "config.json"
MAX_BYTES = MEGABYTE  # the symbols of a whole market have some 20 kB

logger = structlog.stdlib.get_logger(__name__)


def load_config(base_dir: Path) -> MarketConfig:
    """The configuration in ``base_dir``; its secrets are hidden from logs from here on.

    Raises:
        ConfigError: no such file, unreadable, not JSON, or wrong keys: all of them at once, one sentence each.
    """
    path = base_dir / CONFIG_NAME
    try:
        content = read_bounded(path, MAX_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise ConfigError(str(path), [reading_problem(error)]) from None
    twice: list[str] = []
    try:
        raw = json.loads(content.decode("utf-8-sig"), object_pairs_hook=lambda pairs: _noting(twice, pairs))
    except (ValueError, RecursionError) as error:
        raise ConfigError(str(path), [json_problem(error)]) from None
    config = parse_config(base_dir, raw, written_twice=twice)
    if raw.get("funding_rate") and not config.funding_rate:
        logger.warning("config.ignored", key="funding_rate", reason=f"{config.trade_type} has no funding")
    _warn_of_dangers(path, config.unencrypted(), secrets=bool(config.secrets()))
    return config


@cache  # a worker reads its configs every period; it is said once
def _warn_of_dangers(path: Path, unencrypted: tuple[str, ...], *, secrets: bool) -> None:
    """Say what others could do: read the secrets in the file, change what an unencrypted connection carries."""
    for key in unencrypted:
        logger.warning("config.not_encrypted", path=str(path), key=key, hint="use https:// and wss:// over a network")
    if secrets and stat.S_IMODE(path.stat().st_mode) & stat.S_IROTH:
        logger.warning("config.secrets_readable_by_all", path=str(path), hint=f"chmod o-r {path}")


def parse_config(base_dir: Path, raw: object, *, written_twice: list[str] | None = None) -> MarketConfig:
    """The configuration that ``raw`` (decoded JSON) describes, without reading anything.

    Raises:
        ConfigError: one sentence for each key that is wrong, without secrets.
    """
    path = str(base_dir / CONFIG_NAME)
    problems = [f"{key!r} is written twice; allowed: once" for key in written_twice or ()]
    if not isinstance(raw, dict):
        raise ConfigError(path, ['it is not an object; allowed: {"interval": "1m", "trade_type": "usdt_perp", ...}'])
    keys = {key: value for key, value in raw.items() if key != "$schema"}  # editors find the schema by that key
    try:
        config = MarketConfig.model_validate(keys)
    except ValidationError as error:
        raise ConfigError(path, problems + problems_of(error, MarketConfig)) from None
    if problems:
        raise ConfigError(path, problems)
    if config.funding_rate and not _has_funding(config.trade_type):
        config = config.model_copy(update={"funding_rate": False})
    config = config.placed_in(base_dir)
    keep_secret(config.secrets())
    return config


def _has_funding(trade_type: TradeType) -> bool:
    return trade_type.venue is not Venue.SPOT and not trade_type.endswith("_deli")


def _noting(twice: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            twice.append(key)
        seen[key] = value
    return seen
