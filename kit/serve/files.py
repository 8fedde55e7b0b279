"""The files of the page, kept in memory: our own beside this module, and the chart library of the installed plotly."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

STATIC = Path(__file__).with_name("static")

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """A file as it is sent. ``forever``: its address changes with its content, so that browsers need not ask again."""

    content: bytes
    content_type: str
    forever: bool = False

    @cached_property
    def gzipped(self) -> bytes:
        """The content, packed once."""
        return gzip.compress(self.content, 6, mtime=0)

    @cached_property
    def etag(self) -> str:
        """Tells one content from another."""
        return hashlib.sha256(self.content).hexdigest()[:20]

    @property
    def cache_control(self) -> str:
        """What a browser may do with its copy."""
        return "public, max-age=31536000, immutable" if self.forever else "no-cache"


def page_files() -> dict[str, PageFile]:
    """Our own files by address; ``/`` is the page."""
    files = {
        f"/static/{path.name}": PageFile(path.read_bytes(), _TYPES[path.suffix])
        for path in sorted(STATIC.iterdir())
        if path.suffix in _TYPES
    }
    files["/"] = files.pop("/static/index.html")
    return files


@dataclass(frozen=True)
class ChartLibrary:
    """plotly.js, 4.8 MB and 1.5 MB packed. ``style_ids``: the names of style sheets that it writes into the page as it
    is loaded, unless there is an element of that name."""

    path: str
    file: PageFile
    style_ids: tuple[str, ...]


def chart_library() -> ChartLibrary:
    """The installed one.

    Raises:
        FileNotFoundError: the installed plotly carries none.
    """
    found = find_spec("plotly")  # without importing it: that takes longer than reading the file
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("plotly, whose package carries the chart library, is not installed")
    content = (Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js").read_bytes()
    style_ids = {name.decode() for name in re.findall(rb'getElementById\("([0-9a-f]{64})"\)', content)}
    file = PageFile(content, "text/javascript", forever=True)
    return ChartLibrary(f"/charts-{version('plotly')}.js", file, tuple(sorted(style_ids)))
