// Delay and completeness of the window: how long after its close each run time was complete, and what was missing.

import { corner, draw, shifted } from "./charts.js";
import { byId, colour, timeElement } from "./format.js";
import { word } from "./words.js";

function summary(data) {
  const delays = data.delay.filter((delay) => delay !== null).sort((one, other) => one - other);
  const count = (wanted) => data.missing.filter(wanted).length;
  const incomplete = count((missing) => missing > 0);
  const none = count((missing) => missing === null);
  const complete = count((missing) => missing === 0);
  const later = complete - delays.length;
  const parts = [word("timeline_complete", { complete, all: data.run_ms.length })];
  if (delays.length) {
    const [median, worst] = [delays[delays.length >> 1], delays.at(-1)].map((delay) => delay.toFixed(1));
    parts.push(word("timeline_delay", { median, worst }));
  }
  if (later) parts.push(word("timeline_later", { count: later }));
  if (incomplete) parts.push(word("timeline_incomplete", { count: incomplete }));
  if (none) parts.push(word("timeline_none", { count: none }));
  return parts.join(" · ");
}

export class Timeline {
  constructor() {
    this.plot = byId("timeline_plot");
    this.readout = byId("moment");
  }

  async show(data, stepMs) {
    this.readout.textContent = summary(data);
    if (!data.run_ms.length) return;
    const x = shifted(data.run_ms);
    const most = Math.max(1, ...data.missing);
    const bar = (y, ink) => ({ type: "bar", x, y, yaxis: "y2", hoverinfo: "none", width: stepMs, marker: { color: colour(ink) } });
    const traces = [
      { type: "scatter", mode: "markers", x, y: data.delay, hoverinfo: "none", marker: { size: 4, color: colour("cell-0") } },
      bar(data.missing, "cell-3"),
      bar(data.missing.map((missing) => (missing === null ? most : null)), "cell-5"),
    ];
    const more = {
      yaxis: { domain: [0.36, 1], type: "log", dtick: 1, tickformat: "~g" },
      yaxis2: { domain: [0, 0.26], range: [0, most], nticks: 2, tickformat: "d" },
      annotations: [corner("y", word("axis_delay")), corner("y2", word("axis_missing"))],
      uirevision: "same",
    };
    await draw(this.plot, traces, more, (index) => this.tell(data, index, stepMs));
    this.plot.dataset.drawn = String(data.run_ms.length);
  }

  tell(data, index, stepMs) {
    if (index === null) {
      this.readout.textContent = summary(data);
      return;
    }
    const [missing, need, rest] = [data.missing[index], data.expected[index], data.by_rest[index]];
    const state =
      missing === null ? word("moment_no_record")
      : missing ? word("moment_incomplete", { count: missing, need })
      : word("moment_complete", { have: need, need, rest });
    const delay = data.delay[index];
    const after = delay === null ? (missing === 0 ? word("filled_later") : "") : word("after_close", { seconds: delay.toFixed(2) });
    const time = timeElement(data.run_ms[index], { seconds: stepMs < 60_000 });
    this.readout.replaceChildren(time, ` · ${state}${after && ` · ${after}`}`);
  }
}
