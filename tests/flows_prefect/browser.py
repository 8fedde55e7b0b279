"""``python -m tests.flows_prefect.browser URL ARTIFACT``: the width in pixels at which each of Prefect's two user
interfaces shows the picture of an artifact; 0 where it shows none."""

from __future__ import annotations

import shutil
import sys

from playwright.sync_api import sync_playwright

INTERFACES = ("/v2", "")
PICTURE = "img[src^='data:image/svg+xml']"
DRAWN = f'document.querySelector("{PICTURE}")?.naturalWidth > 0'


def main(url: str, artifact: str) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for interface in INTERFACES:
            page = browser.new_page()
            page.goto(f"{url}{interface}/artifacts/artifact/{artifact}", timeout=60_000)
            page.wait_for_function(DRAWN, timeout=60_000)
            box = page.locator(PICTURE).first.bounding_box()
            print(round(box["width"]) if box else 0)  # noqa: T201 - a command
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
