"""The work of each period: as plain functions (``flows.steps``), in one long-lived process, and in Prefect."""

import os

# Before pyarrow is imported. Its own allocator keeps a segment of 4 MB for each thread that ever wrote a table: 23 MB,
# which the worker reaches in steps (docs/decisions/long-run.md).
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
