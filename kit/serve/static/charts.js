// plotly.js, fetched when the first chart is drawn, and what all charts here look like.

import { colour, element } from "./format.js";

let arriving = null;

function loaded(src) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = src;
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error(src)));
    document.head.append(script);
  });
}

export function library() {
  arriving ??= fetch("/api/charts")
    .then((answer) => answer.json())
    .then(({ path, style_ids: ids }) => {
      // Where an element has the name of its style sheet, the library writes none: the page's policy forbids it.
      for (const id of ids) document.head.append(element("meta", { id }));
      return loaded(path);
    })
    .catch((error) => {
      arriving = null; // the next chart tries again
      throw error;
    });
  return arriving;
}

// The browser's zone as it is at the newest of the times, so that the axis runs evenly through a change of the clock.
// As text, which plotly takes as it stands; numbers it would move by the zone once more.
export function shifted(times) {
  const offsetMs = new Date(times.at(-1)).getTimezoneOffset() * 60_000;
  return times.map((ms) => new Date(ms - offsetMs).toISOString().slice(0, -1));
}

const SECOND = 1000;
const DAY = 86_400 * SECOND;
const TIMES = [
  { dtickrange: [null, 60 * SECOND - 1], value: "%H:%M:%S\n%Y-%m-%d" },
  { dtickrange: [60 * SECOND, DAY - 1], value: "%H:%M\n%Y-%m-%d" },
  { dtickrange: [DAY, null], value: "%Y-%m-%d" },
];

// What a part of a chart is about, in its corner.
export function corner(axis, text) {
  const place = { xref: "paper", yref: `${axis} domain`, x: 0, y: 1, xanchor: "left", yanchor: "bottom" };
  return { ...place, text, showarrow: false, font: { size: 11, color: colour("quiet") } };
}

export const touch = () => matchMedia("(pointer: coarse)").matches;

export function layout(more) {
  const line = { gridcolor: colour("line"), linecolor: colour("line"), zeroline: false, fixedrange: true };
  const axis = { ...line, exponentformat: "none", side: "right", nticks: 6, ticklabelstandoff: 4 };
  const made = {
    paper_bgcolor: colour("panel"),
    plot_bgcolor: colour("panel"),
    font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: colour("quiet") },
    margin: { l: 6, r: 62, t: 16, b: 34 },
    showlegend: false,
    hovermode: "x",
    dragmode: touch() ? false : "zoom",
    bargap: 0.25,
    xaxis: {
      ...line, type: "date", fixedrange: touch(), showspikes: true, spikemode: "across", spikethickness: 1,
      spikedash: "solid", spikecolor: colour("quiet"), nticks: innerWidth < 520 ? 4 : 8, tickangle: 0, tickformatstops: TIMES, rangeslider: { visible: false },
      showgrid: false, anchor: "free", position: 0,
    },
    ...more,
  };
  for (const name of Object.keys(made).filter((key) => key.startsWith("yaxis"))) made[name] = { ...axis, ...made[name] };
  return made;
}

export const SETTINGS = { displayModeBar: false, responsive: true, showTips: false, doubleClick: "reset" };

// Draws, and calls back with the place of the moment under the pointer or the finger, null when it leaves.
export async function draw(plot, traces, more, onMoment) {
  const plotly = await library();
  await plotly.react(plot, traces, layout(more), SETTINGS);
  plot.removeAllListeners("plotly_hover");
  plot.removeAllListeners("plotly_click");
  plot.removeAllListeners("plotly_unhover");
  const tell = (event) => onMoment(event.points[0].pointNumber);
  plot.on("plotly_hover", tell);
  plot.on("plotly_click", tell);
  plot.on("plotly_unhover", () => onMoment(null));
}
