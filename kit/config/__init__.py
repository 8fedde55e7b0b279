"""A market's config.json: its keys (``model``), how it is read (``load``), and what is said where it is wrong
(``problems``)."""

from __future__ import annotations

from kit.config.load import CONFIG_NAME, load_config, parse_config
from kit.config.model import DINGTALK_HOST, Endpoints, FactorSpec, MarketConfig, Resample, Robot

__all__ = [
    "CONFIG_NAME",
    "DINGTALK_HOST",
    "Endpoints",
    "FactorSpec",
    "MarketConfig",
    "Resample",
    "Robot",
    "load_config",
    "parse_config",
]
