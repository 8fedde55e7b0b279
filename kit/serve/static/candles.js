// A symbol's candles: prices, volume, and a line of marks that tells where each candle came from.

import { corner, draw, shifted } from "./charts.js";
import { byId, colour, element, price, sentence, short, timeElement } from "./format.js";
import { word } from "./words.js";

const MARKS = {
  stream: ["circle", "cell-0"],
  rest: ["square", "cell-1"],
  revision: ["diamond", "cell-2"],
};

function traces(data, lengthMs) {
  const x = shifted(data.begin_ms);
  const [up, down] = [colour("up"), colour("down")];
  const { open, high, low, close } = data;
  const body = (ink) => ({ line: { color: ink, width: 1 }, fillcolor: ink });
  const found = [
    { type: "candlestick", x, open, high, low, close, increasing: body(up), decreasing: body(down), hoverinfo: "none" },
    {
      type: "bar", x, y: data.volume, yaxis: "y2", hoverinfo: "none", width: lengthMs * 0.7,
      marker: { color: close.map((value, index) => (value < open[index] ? down : up)), opacity: 0.55 },
    },
  ];
  if (data.source) {
    const marks = data.source.map((source, index) => MARKS[data.revisions[data.begin_ms[index]] ? "revision" : source]);
    found.push({
      type: "scatter", mode: "markers", x, y: marks.map(() => 0), yaxis: "y3", hoverinfo: "none", cliponaxis: false,
      marker: { size: 5, symbol: marks.map(([mark]) => mark), color: marks.map(([, name]) => colour(name)) },
    });
  }
  return found;
}

export class Candles {
  constructor() {
    this.plot = byId("candle_plot");
    this.readout = byId("candle");
    this.data = null;
    this.pointed = null; // the begin time of the candle under the pointer
  }

  async show(data, lengthMs) {
    byId("symbol").textContent = data.symbol;
    this.data = data;
    this.lengthMs = lengthMs;
    this.plot.hidden = !data.begin_ms.length;
    if (this.plot.hidden) {
      this.problem(word("no_candles", { symbol: data.symbol }));
      return;
    }
    this.point(data.begin_ms.indexOf(this.pointed));
    const more = {
      yaxis: { domain: [0.3, 1] },
      yaxis2: { domain: [0.11, 0.25], nticks: 3, tickformat: "~s" },
      annotations: [corner("y2", word("volume")), ...(data.source ? [corner("y3", word("source"))] : [])],
      yaxis3: { domain: [0, 0.035], visible: false, range: [-1, 1] },
      uirevision: `${data.symbol} ${data.interval}`,
    };
    await draw(this.plot, traces(data, lengthMs), more, (index) => this.point(index ?? -1));
    this.plot.dataset.drawn = `${data.symbol} ${data.begin_ms.length}`;
  }

  problem(text) {
    this.data = null;
    this.readout.replaceChildren(element("p", { class: "problem" }, text));
  }

  // The candle that is pointed at stays told when newer ones come; the newest is, while none is pointed at.
  point(index) {
    this.pointed = this.data.begin_ms[index] ?? null;
    this.tell(index < 0 ? this.data.begin_ms.length - 1 : index);
  }

  // Where this candle came from, and what it was before it was revised.
  tell(index) {
    const { data } = this;
    if (data === null || !(index in data.begin_ms)) return;
    const seconds = this.lengthMs < 60_000;
    const begin = data.begin_ms[index];
    const value = (name, text) => [element("span", { class: "value" }, element("i", {}, word(name)), ` ${text}`), "  "];
    const prices = ["open", "high", "low", "close"].flatMap((name) => value(name, price(data[name][index])));
    const lines = [
      element("p", {}, element("i", {}, word("begins")), " ", timeElement(begin, { seconds }), "  ", ...prices),
      element("p", {}, ...value("volume", short(data.volume[index])), ...value("turnover", short(data.quote_volume[index])),
        ...value("trades", data.trades[index].toLocaleString("en"))),
      element("p", { id: "provenance" }, ...this.provenance(index)),
    ];
    this.readout.replaceChildren(...lines);
  }

  provenance(index) {
    const { data } = this;
    if (!data.source) return [word("resampled")];
    const source = data.source[index];
    const received = data.received_ms[index];
    const late = (received - data.begin_ms[index] - this.lengthMs) / 1000;
    const parts = [
      element("b", { class: `source ${source}` }, word(`source_${source}`)),
      ` · ${word("received")} `,
      timeElement(received, { millis: true }),
      ` (${late >= 0 ? "+" : ""}${late < 3600 ? `${late.toFixed(2)} s` : `${(late / 3600).toFixed(1)} h`})`,
    ];
    for (const revision of data.revisions[data.begin_ms[index]] ?? []) {
      const { open, high, low, close } = revision.old;
      const was = [open, high, low, close].map(price).join(" / ");
      parts.push(" · ", sentence("revised", { time: timeElement(revision.at_ms, { seconds: true }) }),
        ` ${was} (${word(`source_${revision.old_source}`)}; ${revision.reason})`);
    }
    return parts;
  }
}
