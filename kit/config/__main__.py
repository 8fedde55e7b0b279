"""``python -m kit.config`` writes the JSON Schema anew, after a change of the keys (``kit.config.model``)."""

from __future__ import annotations

from kit.config.schema import SCHEMA_PATH, schema_text

if __name__ == "__main__":
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
