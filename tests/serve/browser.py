"""A real headless Chromium that looks at a real server, and notes whatever should not happen."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright

from kit.serve.app import serving

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
ARGUMENTS = [
    "--no-sandbox",  # as root, which tests in containers run as, it cannot have one
    "--disable-gpu",
    # Nothing of the browser's own shall leave this machine.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 120_000
NO_CHARTS = "window.Plotly = { react: async (plot) => { plot.on = plot.removeAllListeners = () => {}; } };"


@dataclass
class Noted:
    """What a page did beside showing things: all of it has to stay empty."""

    problems: list[str] = field(default_factory=list)
    left_the_machine: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: self._request(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            (self.refused if text.startswith("Failed to load resource") else self.problems).append(text)

    def _request(self, url: str) -> None:
        if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname != "127.0.0.1":
            self.left_the_machine.append(url)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The browser of this machine."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=WAIT_MS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def looking(
    browser: Browser,
    *base_dirs: Path,
    at: str = "",
    clock: bool = False,
    charts: bool = False,
    answered: bool = True,
    **options: Any,
) -> AsyncIterator[Page]:
    """A page that shows these markets. ``clock``: its time can be moved. On the way out nothing unwanted happened; with
    ``answered`` no request was refused either. ``charts``: with the chart library, which takes a second to load; else
    with a stand-in that draws nothing."""
    usual: dict[str, Any] = {
        "locale": "en-US",
        "timezone_id": "Asia/Shanghai",
        "viewport": {"width": 1280, "height": 900},
    }
    noted = Noted()
    async with serving(base_dirs, "127.0.0.1", 0) as address:
        context = await browser.new_context(**(usual | options))
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        noted.follow(page)
        if not charts:
            await page.route(
                "**/charts-*.js", lambda route: route.fulfill(body=NO_CHARTS, content_type="text/javascript")
            )
        if clock:
            await page.clock.install()
        await page.goto(address + at)
        try:
            yield page
        finally:
            await context.close()
    assert noted.left_the_machine == []
    assert noted.problems == []
    assert not answered or noted.refused == []
