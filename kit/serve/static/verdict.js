// The top of the page: one sentence a market. Its state is told by a word, a shape and a colour.

import { age, clock, element, sentence, timeElement } from "./format.js";
import { word } from "./words.js";

const NAMED = 12;

const SHAPES = {
  complete: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1ZM4.6 8.2 6.9 10.5 11.4 5.7",
  incomplete: "M8 1.4 15.2 14.4H.8ZM8 6v4M8 11.8v1",
  no_record: "M8 .8 15.2 8 8 15.2.8 8ZM6.2 6.4a1.8 1.8 0 1 1 2.5 1.7q-.7.3-.7 1.1M8 10.8v.9",
  starting: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2Z",
  broken: "M2 2H14V14H2ZM5.4 5.4 10.6 10.6M10.6 5.4 5.4 10.6",
};

function shape(state) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[state]);
  svg.append(path);
  return svg;
}

export function runTime(market, iso) {
  return timeElement(Date.parse(iso), { seconds: market.interval_ms < 60_000 });
}

// Some of these names, and how many more there are of `count` in all.
export function some(symbols, count = symbols.length) {
  const named = symbols.slice(0, NAMED);
  return named.join(", ") + (count > named.length ? ` ${word("and_more", { count: count - named.length })}` : "");
}

function sinceWhen(market) {
  const last = market.last_complete;
  return last === null ? word("never_complete") : sentence("last_complete", { time: runTime(market, last) });
}

function story(market) {
  const { state, record } = market;
  if (state === "broken") return [market.error];
  if (state === "starting") return [word("starting_why")];
  if (state === "no_record") {
    return [sentence("no_record_for", { time: runTime(market, market.due) }), " · ", sinceWhen(market)];
  }
  const time = runTime(market, record.run_time);
  if (state === "incomplete") {
    return [sentence("incomplete_for", { count: record.missing.length, time }), `${some(record.missing)} · `, sinceWhen(market)];
  }
  const excused = Object.keys(record.excused).length;
  const parts = [
    sentence("complete_for", { have: record.by_stream + record.by_rest, need: record.expected - excused, time }),
    record.seconds_to_complete > 600
      ? word("filled_later")
      : word("after_close", { seconds: record.seconds_to_complete.toFixed(1) }),
  ];
  if (excused) parts.push(word("excused_count", { count: excused }));
  return parts.flatMap((part, index) => (index ? [" · ", part] : [part]));
}

export function verdictRow(market, { selected, unreadSeconds, stale, onPick }) {
  const state = element("strong", { class: "state" }, shape(market.state), word(market.state));
  const name = element("span", { class: "name" }, market.name);
  const todo = market.advice ? element("span", { class: "advice" }, `→ ${word(`advice_${market.advice}`, { folder: market.base_dir })}`) : null;
  const text = element("span", { class: "story" }, ...story(market), todo);
  const doubt = stale
    ? element("span", { class: "doubt" }, word("stale"))
    : unreadSeconds === null
      ? null
      : element("span", { class: "doubt" }, word("not_read", { age: age(unreadSeconds) }));
  const row = element(
    "button",
    { type: "button", class: `verdict ${market.state}`, "aria-pressed": String(selected), onclick: onPick },
    state,
    name,
    text,
    doubt,
  );
  return element("li", { "data-state": market.state }, row);
}

// In the tab's title, for those who look elsewhere.
export function title(markets, stale) {
  if (stale) return `${word("stale")} · BMAC`;
  const order = ["broken", "incomplete", "no_record", "starting", "complete"];
  const worst = order.find((state) => markets.some((market) => market.state === state));
  if (worst === undefined) return "BMAC";
  const one = markets.find((market) => market.state === worst);
  const time = one.record ? ` ${clock(Date.parse(one.record.run_time))}` : "";
  return `${word(worst)}${time} · BMAC`;
}
