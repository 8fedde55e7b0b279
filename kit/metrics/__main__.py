"""``python -m kit.metrics``: write docs/metrics.md from the table."""

from __future__ import annotations

from pathlib import Path

from kit.metrics.table import METRICS, PROCESS, Part, Row

PAGE_PATH = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

_HEAD = """# Metrics

*Written by `python -m kit.metrics` from `kit/metrics/table.py`.*

Streamer and worker tell Prometheus how they are, when they are asked to:

    python -m streamer --metrics 9461 BASE_DIR [BASE_DIR ...]
    python -m flows worker --metrics 9462 [BASE_DIR ...]

`--metrics [HOST:]PORT`, or the variable `BMAC_METRICS`. Without a host only this machine can ask. There is no password:
give a host only where the network is yours. Each process needs a port of its own, a streamer that stands by too; a port
in use ends the program with exit code 2. Off by default.

`deployments/prometheus/` has a configuration and alert rules, `deployments/grafana/` a dashboard.

Labels: `market` is the folder's name for it, such as `usdt_perp_1m` (where one process has two of the same name,
`usdt_perp_1m@` and the base directory); `route` is a WebSocket address, `pool` what shares one limit of request weight.
Nothing is labelled by symbol: that would be thousands of series, new ones with each listing. Which symbols are missing
is in the ledger (`python -m kit status`) and in the alarms.

The streamer's numbers are read in its event loop, at most once a second. When it does not answer within 2 s the scrape
fails (`up` is 0), so a streamer that hangs looks like one that is gone.
"""

_TITLES = {
    Part.STREAMER: "Streamer",
    Part.WORKER: "Worker",
}


def page() -> str:
    """The page as it is committed."""
    parts = [_HEAD]
    for part, title in _TITLES.items():
        rows = [_line(row) for row in METRICS.values() if row.part is part]
        parts.append(f"## {title}\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    rows = [f"| `{name}` | {meaning} |" for name, meaning in PROCESS.items()]
    parts.append("## Both (Linux)\n\n| name | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _line(row: Row) -> str:
    labels = " ".join(f"`{label}`" for label in row.labels)
    return f"| `{row.name}` | {row.kind} | {labels} | {row.help} |"


if __name__ == "__main__":
    PAGE_PATH.write_text(page(), encoding="utf-8")
