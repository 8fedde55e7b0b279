// The factors of the newest run time, sortable. What has no value comes last, whichever way it is sorted.

import { byId, element, significant } from "./format.js";
import { some } from "./verdict.js";
import { word } from "./words.js";

export class Factors {
  constructor(onPick) {
    this.onPick = onPick;
    this.box = byId("factors").querySelector(".table");
    this.data = null;
    this.by = 0;
    this.falling = false;
    byId("filter").addEventListener("input", () => this.render());
  }

  show(data) {
    this.data = data;
    if (data !== null && this.by >= data.columns.length) this.by = 0;
    this.render();
  }

  sort(column) {
    this.falling = column === this.by ? !this.falling : column > 0;
    this.by = column;
    this.render();
  }

  render() {
    const notes = byId("factors_notes");
    if (this.data === null) {
      notes.textContent = word("no_factors");
      this.box.replaceChildren();
      return;
    }
    const { missing, errors } = this.data;
    notes.textContent = [...errors, ...(missing.length ? [word("without_candle", { symbols: some(missing) })] : [])].join("; ") || "\u00a0";
    const wanted = byId("filter").value.trim().toUpperCase();
    const rows = this.data.rows.filter(([symbol]) => symbol.toUpperCase().includes(wanted)).sort((a, b) => this.compare(a, b));
    this.box.replaceChildren(
      element("table", {}, element("thead", {}, element("tr", {}, ...this.data.columns.map((name, column) => this.heading(name, column)))),
        element("tbody", {}, ...rows.map((row) => this.row(row)))),
    );
  }

  heading(name, column) {
    const sorted = column === this.by ? (this.falling ? "descending" : "ascending") : "none";
    const text = name === "symbol" ? word("symbol") : name === "close" ? word("close_price") : name;
    const button = element("button", { type: "button", onclick: () => this.sort(column) }, text);
    return element("th", { "aria-sort": sorted, scope: "col" }, button);
  }

  row([symbol, ...values]) {
    const name = element("button", { type: "button", onclick: () => this.onPick(symbol) }, symbol);
    return element("tr", {}, element("th", { scope: "row" }, name), ...values.map(cell));
  }

  compare(one, other) {
    const [a, b] = [one[this.by], other[this.by]];
    if (this.by === 0) return (a < b ? -1 : 1) * (this.falling ? -1 : 1);
    const [noA, noB] = [typeof a !== "number", typeof b !== "number"];
    return noA || noB ? noA - noB : (a - b) * (this.falling ? -1 : 1);
  }
}

function cell(value) {
  if (value === null) return element("td", { class: "none", title: word("no_value") }, "–");
  return typeof value === "number" ? element("td", {}, significant(value)) : element("td", { class: "none" }, value);
}
