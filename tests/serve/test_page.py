"""What a person sees, in a real browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
import pytest_asyncio
from playwright.async_api import expect

from kit.config import load_config
from kit.resample.update import update_resample
from kit.serve.app import serving
from kit.words import from_ms
from tests.builders import candles, stream
from tests.ports import free_port
from tests.serve.browser import CHROMIUM, WAIT_MS, chromium, looking
from tests.serve.builders import STEP, SYMBOLS, market_in

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("browser"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine (Debian: apt install chromium)"),
]
expect.set_options(timeout=WAIT_MS)

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
SHANGHAI = timezone(timedelta(hours=8))
HOSTILE = '<img src=x onerror="window.hacked=1">'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with chromium() as running:
        yield running


@pytest.fixture
def market(tmp_path):
    return market_in(tmp_path / "m")


async def test_one_look_tells_complete_from_incomplete_and_why(tmp_path, market, browser):
    other = market_in(tmp_path / "other")
    other.incomplete(other.due_ms, ["SOLUSDT", "ETHUSDT"])
    market.record(market.due_ms, by_stream=3, excused={"SOLUSDT": "settling"})
    async with looking(browser, market.base_dir, other.base_dir, tmp_path / "nowhere") as page:
        rows = page.locator("#verdicts .verdict")
        local = from_ms(market.due_ms).astimezone(SHANGHAI).strftime("%H:%M")
        await expect(rows.nth(0)).to_contain_text("COMPLETE")
        await expect(rows.nth(0)).to_contain_text(f"{local} · 2.1 s after the close · 1 excused")
        await expect(rows.nth(0)).to_contain_text("3/3 for")
        await expect(rows.nth(1)).to_contain_text("INCOMPLETE")
        await expect(rows.nth(1)).to_contain_text("SOLUSDT, ETHUSDT")
        await expect(rows.nth(2)).to_contain_text("CANNOT BE READ")
        await expect(rows.nth(2)).to_contain_text("config.json")
        shapes = [await rows.nth(index).locator("path").get_attribute("d") for index in range(3)]
        assert len(set(shapes)) == 3
        await expect(page.locator("[data-fact=excused]")).to_contain_text("settling SOLUSDT")
        await expect(page.locator("[data-fact=streamer]")).to_contain_text("alive, 4 of 4")
        await expect(rows.nth(0).locator("time")).to_have_attribute(
            "title", from_ms(market.due_ms).strftime("%Y-%m-%d %H:%M:%S UTC")
        )
        await expect(page).to_have_title("CANNOT BE READ · BMAC")
        await rows.nth(1).click()
        await expect(page.locator("[data-fact=folder]")).to_contain_text(str(other.base_dir))
        await page.reload()
        await expect(page.locator("[data-fact=folder]")).to_contain_text(str(other.base_dir))


async def test_an_old_record_never_passes_for_the_newest_due_run_time(market, browser):
    market.forget()
    market.record(market.due_ms - STEP)
    market.beat(written_at="2020-11-22T07:05:00+00:00")
    async with looking(browser, market.base_dir) as page:
        await expect(page.locator(".verdict .state")).to_have_text("NO RECORD")
        await expect(page.locator("[data-fact=worker]")).to_contain_text("NONE at work, last period")
        await expect(page.locator("[data-fact=streamer]")).to_contain_text("SILENT")


async def test_the_workers_life_is_its_heartbeats_and_not_the_records(market, browser):
    market.worker_beat(age=timedelta(minutes=5))
    async with looking(browser, market.base_dir) as page:
        told = page.locator("[data-fact=worker]")
        await expect(page.locator(".verdict .state")).to_have_text("COMPLETE")
        await expect(told).to_contain_text(re.compile(r"SILENT for \d+ min, last period"))
        await expect(page.locator(".verdict .advice")).to_contain_text(f"python -m flows worker {market.base_dir}")
        market.forget()
        market.record(market.due_ms - STEP)
        market.worker_beat()
        await expect(page.locator(".verdict .state")).to_have_text("NO RECORD")
        await expect(told).to_contain_text("alive, last period")
        await expect(page.locator(".verdict .story")).to_contain_text("so it may be incomplete · last complete:")
        await expect(page.locator(".verdict .advice")).to_contain_text("python -m kit doctor")
        market.worker_beat(age=timedelta(minutes=5), running=False)
        await expect(told).to_contain_text(re.compile(r"ENDED \d+ min ago, last period"))


async def test_a_record_that_is_written_is_shown_without_a_reload(market, browser):
    async with looking(browser, market.base_dir) as page:
        await expect(page.locator(".verdict .state")).to_have_text("COMPLETE")
        await page.evaluate("window.same = true")
        market.incomplete(market.due_ms, ["NEWUSDT"])
        await expect(page.locator(".verdict .state")).to_have_text("INCOMPLETE")
        await expect(page.locator("#grid .scroll")).to_have_attribute("data-rows", str(len(SYMBOLS) + 1))
        market.record(market.due_ms)
        await expect(page.locator(".verdict .state")).to_have_text("COMPLETE")
        await expect(page.locator(".verdict .advice")).to_have_count(0)
        assert await page.evaluate("window.same")


async def test_a_silent_stream_is_named_and_is_no_trouble_while_its_candles_come_by_rest(market, browser):
    market.beat(delivering_streams=3, silent_streams=["SOLUSDT"])
    async with looking(browser, market.base_dir) as page:
        streamer = page.locator("[data-fact=streamer]")
        await expect(streamer).to_contain_text("alive, 3 of 4 streams deliver; silent: SOLUSDT")
        await expect(streamer).to_have_class("fact")
        market.incomplete(market.due_ms, ["ETHUSDT"])
        await expect(page.locator(".verdict .state")).to_have_text("INCOMPLETE")
        await expect(streamer).to_have_class("fact")
        market.incomplete(market.due_ms, ["SOLUSDT"])
        await expect(streamer).to_have_class("fact bad")


async def test_a_page_without_word_from_its_server_says_that_it_is_stale_until_it_hears_again(market, browser):
    async with looking(browser, clock=True, answered=False) as page:
        port = free_port()
        async with serving([market.base_dir], "127.0.0.1", port) as address:
            await page.goto(address)
            await expect(page.locator(".verdict .state")).to_have_text("COMPLETE")
            await expect(page.locator("#freshness")).to_contain_text("live")
            await expect(page.locator("#banner")).to_be_hidden()
        await page.clock.fast_forward(40_000)
        await expect(page.locator("#banner")).to_contain_text(re.compile(r"STALE: no word from the server for \d"))
        await expect(page.locator(".verdict .doubt")).to_have_text("STALE")
        await expect(page).to_have_title("STALE · BMAC")
        market.incomplete(market.due_ms, ["BTCUSDT"])
        async with serving([market.base_dir], "127.0.0.1", port):
            await page.clock.fast_forward(20_000)
            await expect(page.locator("#banner")).to_be_hidden()
            await expect(page.locator(".verdict .state")).to_have_text("INCOMPLETE")
            await page.goto("about:blank")


async def test_hovering_a_candle_tells_where_it_came_from_and_what_it_was(market, browser):
    revision = market.revise("SOLUSDT", market.due_ms)
    async with looking(browser, market.base_dir, at="#market=0&symbol=SOLUSDT", charts=True) as page:
        await expect(page.locator("#candle_plot")).to_have_attribute("data-drawn", "SOLUSDT 5")
        area = await page.locator("#candle_plot .nsewdrag").first.bounding_box()
        provenance = page.locator("#provenance")
        await page.mouse.move(area["x"] + area["width"] * 0.08, area["y"] + 60)
        await expect(provenance).to_contain_text("by stream · received")
        await expect(provenance).to_contain_text("(+0.51 s)")
        await page.mouse.move(area["x"] + area["width"] * 0.92, area["y"] + 60)
        await expect(provenance).to_contain_text("revision")
        await expect(provenance).to_contain_text("late final")
        await expect(provenance).to_contain_text(f" / {repr(revision.old.close).removesuffix('.0')} (by stream")
        market.record(market.due_ms, by_stream=3, by_rest=1)
        await expect(page.locator("[data-fact=sources]")).to_have_text("sources3 stream, 1 REST")
        await page.mouse.move(area["x"] + area["width"] * 0.08, area["y"] + 64)
        await expect(provenance).to_contain_text("by stream · received")
        await page.mouse.move(5, 5)
        await expect(provenance).to_contain_text("revision")
        begins = datetime.fromtimestamp((market.due_ms - STEP) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        await expect(page.locator("#candle time").first).to_have_attribute("title", begins)
        newest = await page.evaluate("document.getElementById('candle_plot').data[0].x.at(-1)")
        begin = from_ms(market.due_ms - STEP).astimezone(SHANGHAI)
        assert newest == begin.strftime("%Y-%m-%dT%H:%M:%S.000"), "the axis is in the browser's zone"


async def test_factors_are_sorted_by_a_click_and_what_has_no_value_stays_last(market, browser):
    async with looking(browser, market.base_dir) as page:
        names = page.locator("#factors tbody th")
        await expect(names).to_have_text(list(SYMBOLS))
        heading = page.locator("#factors thead button", has_text="PctChg_5")
        await heading.click()
        await expect(names).to_have_text(["BTCUSDT", "币安人生USDT", "ETHUSDT", "SOLUSDT"])
        await heading.click()
        await expect(names).to_have_text(["币安人生USDT", "BTCUSDT", "ETHUSDT", "SOLUSDT"])
        await expect(page.locator("#factors th[aria-sort=ascending]")).to_have_text("PctChg_5")
        await expect(page.locator("#factors tbody tr").nth(2).locator("td").nth(1)).to_have_text("–")
        await expect(page.locator("#factors tbody tr").nth(3).locator("td").nth(1)).to_have_text("NaN")


async def test_a_click_in_the_grid_shows_that_symbols_candles_and_text_filters_it(market, browser):
    async with looking(browser, market.base_dir) as page:
        box = page.locator("#grid .scroll")
        await expect(box).to_have_attribute("data-rows", "4")
        await page.locator("#filter").fill("eth")
        await expect(box).to_have_attribute("data-rows", "1")
        await expect(page.locator("#factors tbody th")).to_have_text(["ETHUSDT"])
        await box.click(position={"x": 30, "y": 8})
        await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
        await expect(page).to_have_url(re.compile("symbol=ETHUSDT"))
        await box.hover(position={"x": 1, "y": 9})
        await expect(page.locator("#cell")).to_contain_text("ETHUSDT")


async def test_what_the_pointer_tells_outlives_a_change_of_what_is_shown(tmp_path, browser):
    symbols = tuple(f"C{number:02}USDT" for number in range(60))
    market = market_in(tmp_path / "m", symbols=symbols)
    async with looking(browser, market.base_dir) as page:
        box = page.locator("#grid .scroll")
        await expect(box).to_have_attribute("data-rows", "60")
        await box.hover(position={"x": 130, "y": 280})  # far down: the verdict above gets more lines, and moves it
        cell = page.locator("#cell")
        await expect(cell).to_contain_text("USDT · ")
        await page.evaluate("""
            window.blank = 0;
            const cell = document.getElementById("cell");
            new MutationObserver(() => (window.blank += !cell.textContent.trim())).observe(cell, { childList: true });
        """)
        market.incomplete(market.due_ms, ["NEWUSDT"])
        await expect(box).to_have_attribute("data-rows", "61")
        await expect(cell).to_contain_text("USDT")
        await page.set_viewport_size({"width": 1000, "height": 900})
        await expect(cell).to_contain_text("USDT")
        assert await page.evaluate("window.blank") == 0


async def test_resampled_candles_are_shown_where_they_are_kept(tmp_path, browser):
    market = market_in(tmp_path / "m", resample={"interval": "1d"})
    update_resample(market.folder, load_config(market.base_dir), from_ms(market.due_ms))
    async with looking(browser, market.base_dir, at="#market=0&symbol=BTCUSDT", charts=True) as page:
        await expect(page.locator("#interval option")).to_have_text(["12h", "1d"])
        await page.locator("#interval").select_option("1d")
        await expect(page.locator("#provenance")).to_have_text("resampled")


async def test_the_language_follows_the_browser_can_be_switched_and_is_remembered(market, browser):
    async with looking(browser, market.base_dir, locale="zh-CN") as page:
        await expect(page.locator(".verdict .state")).to_have_text("完整")
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await page.locator("#language").click()
        await expect(page.locator(".verdict .state")).to_have_text("COMPLETE")
        await page.reload()
        await expect(page.locator(".verdict .state")).to_have_text("COMPLETE")


async def test_dark_follows_the_system_and_can_be_switched(market, browser):
    async with looking(browser, market.base_dir, color_scheme="dark") as page:
        await expect(page.locator("body")).to_have_css("background-color", "rgb(15, 19, 24)")
        for name in ("dark", "light"):
            await page.locator("#theme").click()
            await expect(page.locator("#theme")).to_have_attribute("data-theme", name)
        await expect(page.locator("body")).to_have_css("background-color", "rgb(244, 245, 247)")
        await page.reload()
        await expect(page.locator("body")).to_have_css("background-color", "rgb(244, 245, 247)")


async def test_a_telephone_never_scrolls_sideways(tmp_path, browser):
    market = market_in(tmp_path / ("a_long_name_of_a_folder_" * 6))
    market.incomplete(market.due_ms, [f"MISSING{number}USDT" for number in range(40)])
    async with looking(
        browser, market.base_dir, tmp_path / ("nowhere" * 20), at="#market=0&symbol=BTCUSDT", charts=True, **PHONE
    ) as page:
        await expect(page.locator("#candle_plot")).to_have_attribute("data-drawn", "BTCUSDT 5")
        await expect(page.locator(".verdict").first).to_contain_text("and 28 more")
        widths = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert widths == [390, 390]


async def test_text_from_outside_never_becomes_markup(tmp_path, browser):
    market = market_in(tmp_path / HOSTILE.replace("/", ""))
    market.record(market.due_ms - STEP, excused={HOSTILE: HOSTILE}, by_stream=3)
    market.incomplete(market.due_ms, [HOSTILE])
    market.beat(disk_error=HOSTILE)
    nowhere = tmp_path / f"x{HOSTILE}"
    async with looking(browser, market.base_dir, nowhere) as page:
        await expect(page.locator(".verdict").nth(0)).to_contain_text(HOSTILE)
        await expect(page.locator(".verdict").nth(1)).to_contain_text(HOSTILE)
        await expect(page.locator("[data-fact=streamer]")).to_contain_text(HOSTILE)
        box = page.locator("#grid .scroll")
        await expect(box).to_have_attribute("data-rows", str(len(SYMBOLS) + 1))
        await box.click(position={"x": 30, "y": 8})
        await expect(page.locator("#candle")).to_contain_text(f"no candle is kept of {HOSTILE}")
        await expect(page.locator("#cell")).to_contain_text(HOSTILE)
        assert await page.locator("img").count() == 0
        assert await page.evaluate("window.hacked") is None


async def test_seven_hundred_and_fifty_symbols_are_drawn_as_what_is_seen_of_them(tmp_path, browser, record_property):
    symbols = tuple(f"C{number:03}USDT" for number in range(750))
    market = market_in(tmp_path / "m")
    stream(market.folder, candles(symbols, market.due_ms - 60 * STEP, 60, STEP))
    async with looking(browser, market.base_dir) as page:
        box = page.locator("#grid .scroll")
        await expect(box).to_have_attribute("data-rows", "754")
        record_property("draw_ms", await box.get_attribute("data-draw-ms"))
        assert await page.locator("#grid *").count() < 200
        await box.evaluate("box => { box.scrollTop = box.scrollHeight }")
        await box.hover(position={"x": 30, "y": 300})
        await expect(page.locator("#cell")).to_contain_text("C7")
