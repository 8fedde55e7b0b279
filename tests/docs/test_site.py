"""The documents as a site: built without a warning, in both languages, asking nobody else, found by its search."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, headings_of, pages

pytestmark = [pytest.mark.xdist_group("docs"), pytest.mark.timeout(900)]

TRANSLATED = {
    "index",
    "getting-started",
    "from-bmac-v2",
    "reading",
    "factors",
    "configuration",
    "runbook",
    "deployment",
}
CHROMIUM = shutil.which("chromium")
MOST_BYTES_OF_A_PICTURE = 150_000
WAIT_MS = 120_000

FOUND = [
    ("", "funding rate", "reading/"),
    ("", "BmacAllMarketCalculator", "factors/"),
    ("", "clock-off", "runbook/"),
    ("zh/", "资金费率", "zh/reading/"),
    ("zh/", "未来函数", "zh/factors/"),
    ("zh/", "选币", "zh/getting-started/"),
]
"""Where, what is looked for, and a page that is among what is found."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word on stderr."""

    def log_message(self, format, *args):  # noqa: A002 - the parent's name
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


def test_both_languages_have_every_page(site):
    for page in DOCS.glob("*.md"):
        name = page.name.split(".")[0]
        place = "index.html" if name == "index" else f"{name}/index.html"
        assert (site / place).is_file()
        chinese = (site / "zh" / place).read_text(encoding="utf-8")
        assert ("本页目前只有英文" in chinese) == (not (DOCS / f"{name}.zh.md").exists()), page


def test_what_users_read_is_translated_heading_by_heading():
    there = {page.name.removesuffix(".zh.md") for page in DOCS.glob("*.zh.md")}
    assert there == {name for name in TRANSLATED if (DOCS / f"{name}.md").exists()}
    for name in sorted(there):
        original, ours = (headings_of(DOCS / f"{name}{suffix}") for suffix in (".md", ".zh.md"))
        assert [depth for depth, _ in ours] == [depth for depth, _ in original], name
    depths = [[depth for depth, _ in headings_of(ROOT / name)] for name in ("README.md", "README.zh-CN.md")]
    assert depths[0] == depths[1]


def test_nothing_is_fetched_from_elsewhere(site):
    loads = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
    for page in site.rglob("*.html"):
        assert not loads.findall(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_links_of_the_readmes_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "README.zh-CN.md"):
        links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        assert links
        assert not [link for link in links if "://" not in link and not (ROOT / link).exists()], page


def test_pictures_are_small_and_every_one_is_shown():
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    for picture in (DOCS / "pictures").iterdir():
        assert picture.stat().st_size <= MOST_BYTES_OF_A_PICTURE, picture
        assert picture.name in text, picture


def test_the_search_knows_both_languages(site):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].split("#")[0] for entry in index["docs"]}
    assert {"reading/", "zh/reading/"} <= places


@pytest.mark.skipif(CHROMIUM is None, reason="needs a chromium on the PATH, such as Debian's package of that name")
async def test_a_reader_finds_things_in_a_browser_that_asks_nobody_else(site):
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415 - only where there is a browser

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    foreign: list[str] = []
    try:
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=WAIT_MS)
            page = await browser.new_page()
            page.set_default_timeout(WAIT_MS)
            page.on("request", lambda request: foreign.append(request.url) if _foreign(request.url, home) else None)
            for where, words, wanted in FOUND:
                await page.goto(home + where)
                await page.evaluate("document.querySelector('[data-md-toggle=search]').checked = true")
                await page.locator(".md-search__input").fill(words)
                await page.keyboard.press("Shift")  # the search looks when a key is released
                link = page.locator(f".md-search-result__link[href^='{home}{wanted}']").first
                await expect(link).to_be_attached(timeout=WAIT_MS)
            await browser.close()
    finally:
        server.shutdown()
        server.server_close()
    assert foreign == []


def _foreign(url: str, home: str) -> bool:
    return not url.startswith((home, "data:", "blob:"))
