// The page: what is selected, what has to be read anew, and who shows it.

import { Candles } from "./candles.js";
import { Factors } from "./factors.js";
import { facts } from "./facts.js";
import { age, byId, clock, element, timeElement } from "./format.js";
import { Grid } from "./grid.js";
import { Live } from "./live.js";
import { Timeline } from "./timeline.js";
import { title, verdictRow } from "./verdict.js";
import { currentLanguage, remember, remembered, switchLanguage, word } from "./words.js";

const UNREAD_SEC = 15;
const THEMES = ["auto", "dark", "light"];
const LENGTHS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const markets = new Map();
const shown = { market: null, symbol: null, interval: null, offset: "0m" };
const drawn = {}; // what each panel was last read for, so that it is read once a change
let theme = remembered("bmac.theme") ?? "auto";

let asked = fromAddress().market; // by the address; another one is shown until it comes

const grid = new Grid(pickSymbol);
const factors = new Factors(pickSymbol);
const candles = new Candles();
const timeline = new Timeline();
const live = new Live(onMarket, renderAges);

function onMarket(market) {
  markets.set(market.index, market);
  if (shown.market === null || market.index === asked) selectMarket(market.index);
  if (market.index === asked) asked = null;
  renderVerdicts();
  if (market.index === shown.market) renderDetail();
}

function selectMarket(index) {
  const wanted = fromAddress();
  Object.assign(shown, { market: index, symbol: wanted.market === index ? wanted.symbol : null, interval: null, offset: "0m" });
  for (const name of Object.keys(drawn)) delete drawn[name];
  renderVerdicts();
  renderDetail();
}

function pickSymbol(symbol) {
  shown.symbol = symbol;
  intoAddress({ market: shown.market, symbol });
  grid.mark(symbol);
  renderCandles();
}

function intoAddress(place) {
  history.replaceState(null, "", `#${new URLSearchParams(place)}`);
}

function fromAddress() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const market = Number.parseInt(wanted.get("market"), 10);
  return { market: Number.isNaN(market) ? null : market, symbol: wanted.get("symbol") };
}

function sorted() {
  return [...markets.values()].sort((one, other) => one.index - other.index);
}

function renderVerdicts() {
  const now = serverNow();
  const rows = sorted().map((market) => {
    const looked = live.tick?.looked_ms[market.index];
    const unread = looked === undefined ? 0 : (now - looked) / 1000;
    return verdictRow(market, {
      selected: market.index === shown.market,
      unreadSeconds: unread > UNREAD_SEC ? unread : null,
      stale: live.isSilent,
      onPick: () => {
        intoAddress({ market: market.index });
        selectMarket(market.index);
      },
    });
  });
  const focused = [...byId("verdicts").children].findIndex((row) => row.contains(document.activeElement));
  byId("verdicts").replaceChildren(...rows);
  if (focused >= 0) byId("verdicts").children[focused]?.firstElementChild.focus();
  document.title = title(sorted(), live.isSilent);
}

function renderDetail() {
  const market = markets.get(shown.market);
  const readable = market !== undefined && market.state !== "broken";
  byId("detail").hidden = !readable;
  if (!readable) return;
  byId("facts").replaceChildren(...facts(market, serverNow()));
  renderSeries(market);
  once("grid", market.mark, () => read("grid"), (data) => {
    grid.show(data);
    const worst = grid.rows[0]?.[0] ?? null;
    if (shown.symbol === null && worst !== null) {
      shown.symbol = worst;
      renderCandles();
    }
    grid.mark(shown.symbol);
  });
  once("timeline", market.mark, () => read("timeline"), (data) => timeline.show(data, market.interval_ms));
  once("factors", market.factors_at ?? "none", () => read("factors"), (data) => {
    byId("factors_at").replaceChildren(...(data ? [timeElement(Date.parse(data.run_time), { seconds: market.interval_ms < 60_000 })] : []));
    factors.show(data);
  });
  renderCandles();
}

function renderCandles() {
  const market = markets.get(shown.market);
  if (shown.symbol === null) return candles.problem(word("pick_symbol"));
  const { symbol, interval, offset } = { ...shown, interval: shown.interval ?? market.interval };
  const query = new URLSearchParams(interval === market.interval ? { symbol } : { symbol, interval, offset });
  const lengthMs = Number.parseInt(interval, 10) * LENGTHS[interval.at(-1)];
  return once("candles", `${market.mark} ${query}`, () => read(`candles?${query}`), (data) => candles.show(data, lengthMs));
}

function renderSeries(market) {
  const choices = [market.interval, ...market.series.map((series) => series.interval)];
  const chosen = shown.interval ?? market.interval;
  const offsets = market.series.find((series) => series.interval === chosen)?.offsets ?? [];
  options(byId("interval"), choices, chosen);
  options(byId("offset"), offsets, shown.offset);
  byId("offset_label").hidden = offsets.length < 2;
}

function options(select, values, chosen) {
  if (values.join() !== [...select.options].map((option) => option.value).join()) {
    select.replaceChildren(...values.map((value) => element("option", { value }, value)));
  }
  select.value = chosen;
}

// Reads a panel when what it stands on has changed; an answer that comes after a newer question is thrown away.
async function once(panel, key, question, show) {
  const wanted = `${shown.market} ${key}`;
  if (drawn[panel] === wanted) return;
  drawn[panel] = wanted;
  const problem = byId(panel).querySelector(".failed");
  try {
    const data = await question();
    if (drawn[panel] !== wanted) return;
    problem?.remove();
    await show(data);
  } catch (error) {
    if (drawn[panel] !== wanted) return;
    delete drawn[panel];
    const said = element("p", { class: "failed problem" }, error.message);
    if (problem) problem.replaceWith(said);
    else byId(panel).querySelector("header").after(said);
  }
}

async function read(what) {
  const answer = await fetch(`/api/markets/${shown.market}/${what}`);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function serverNow() {
  return live.tick === null ? Date.now() : live.tick.now_ms + live.silentMs;
}

let wasSilent = false;

// Once a second: ages count up whether anything comes or not.
function renderAges() {
  const silent = live.isSilent;
  document.body.classList.toggle("stale", silent);
  const banner = byId("banner");
  banner.hidden = !silent;
  if (silent) {
    banner.textContent = live.heardAt === null ? word("never")
      : word("lost", { age: age(live.silentMs / 1000), time: clock(live.heardAt, { seconds: true }) });
  }
  const looked = Object.values(live.tick?.looked_ms ?? {});
  const oldest = looked.length ? (serverNow() - Math.min(...looked)) / 1000 : 0;
  byId("freshness").textContent = silent ? "" : live.tick ? word("fresh", { age: age(oldest) }) : word("connecting");
  if (silent !== wasSilent || oldest > UNREAD_SEC) renderVerdicts();
  wasSilent = silent;
  const market = markets.get(shown.market);
  if (market && market.state !== "broken" && !(market.streamer?.alive && market.worker.alive)) {
    byId("facts").replaceChildren(...facts(market, serverNow()));
  }
}

function renderWords() {
  document.documentElement.lang = currentLanguage() === "zh" ? "zh-CN" : "en";
  for (const place of document.querySelectorAll("[data-word]")) place.textContent = word(place.dataset.word);
  byId("language").textContent = word("language");
  byId("theme").textContent = word(`theme_${theme}`);
  byId("theme").dataset.theme = theme;
}

// Canvas and charts carry words and colours of their own.
function renderAll() {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  renderWords();
  for (const name of Object.keys(drawn)) delete drawn[name];
  renderVerdicts();
  renderDetail();
  renderAges();
}

byId("language").addEventListener("click", () => {
  switchLanguage();
  renderAll();
});
byId("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  remember("bmac.theme", theme);
  renderAll();
});
byId("interval").addEventListener("change", (event) => {
  Object.assign(shown, { interval: event.target.value, offset: "0m" });
  renderDetail();
});
byId("offset").addEventListener("change", (event) => {
  shown.offset = event.target.value;
  renderDetail();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", renderAll);
setInterval(renderAges, 1000);
renderAll();
