"""The JSON Schema of config.json, which editors and other programs read: ``schema.json`` beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kit.config.model import MarketConfig

SCHEMA_PATH = Path(__file__).with_name("schema.json")


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of config.json, each key with its meaning, unit and default."""
    schema = MarketConfig.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "config.json of a market's base directory"
    schema["properties"]["$schema"] = {"type": "string", "description": "Where editors find this schema; not read."}
    return schema


def schema_text() -> str:
    """:func:`config_schema` as it is committed."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"
