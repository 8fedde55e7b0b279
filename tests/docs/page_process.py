"""``python -m tests.docs.page_process FILE``: runs the Python blocks of a page, one after the other, in one namespace.

FILE holds ``[[place, source], ...]`` as JSON. ``await`` is allowed at the top level, as in Jupyter; warnings are
errors.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
import types
import warnings
from pathlib import Path


async def run(blocks: list[tuple[str, str]]) -> None:
    """Run them; an error is the block's own, with its place in the traceback."""
    page = types.ModuleType("page")
    for place, source in blocks:
        code = compile(source, place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, page.__dict__)  # noqa: S307 - the documents' own code
        if inspect.iscoroutine(result):
            await result
        print(f"ran {place}", flush=True)  # noqa: T201 - for whoever reads a failure


if __name__ == "__main__":
    warnings.simplefilter("error")
    sys.path.insert(0, str(Path.cwd()))
    asyncio.run(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
