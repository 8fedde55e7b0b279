// Symbols by recent run times on one canvas as large as what is seen of it: 750 symbols cost what 30 cost. Each state
// has a shape of its own beside its colour: height, cross, dot, outline.

import { byId, colour, element, timeElement } from "./format.js";
import { reason, word } from "./words.js";

const ROW = 16;
const NAMES = 112;
const NARROW = 520;
const NARROW_COLUMNS = 30;
const LETTERS = ["s", "r", "v", "m", "e", "?", ".", "-"];
const TROUBLE = { m: 8, "?": 4, v: 2, e: 2, r: 1 };

const PAINT = {
  s: (draw, x, y, w) => draw.fillRect(x, y + 6, w, 5),
  r: (draw, x, y, w) => draw.fillRect(x, y + 4, w, 9),
  v: (draw, x, y, w) => {
    draw.fillRect(x, y + 2, w, 5);
    draw.fillRect(x, y + 9, w, 5);
  },
  m: (draw, x, y, w) => {
    draw.fillRect(x, y + 1, w, ROW - 2);
    draw.strokeStyle = draw.ground;
    draw.lineWidth = 1.2;
    draw.beginPath();
    draw.moveTo(x + 1, y + 4), draw.lineTo(x + w - 1, y + 12), draw.moveTo(x + w - 1, y + 4), draw.lineTo(x + 1, y + 12);
    draw.stroke();
  },
  e: (draw, x, y, w) => draw.fillRect(x + w / 2 - 2, y + 6, 4, 4),
  "?": (draw, x, y, w) => {
    draw.lineWidth = 1.2;
    draw.strokeRect(x + 1, y + 2.5, Math.max(1, w - 2), ROW - 5);
  },
  ".": () => {},
  "-": (draw, x, y, w) => draw.fillRect(x, y + 8, w, 1),
};

export class Grid {
  constructor(onPick) {
    this.onPick = onPick;
    this.panel = byId("grid");
    this.box = this.panel.querySelector(".scroll");
    this.paper = this.panel.querySelector(".paper");
    this.canvas = this.panel.querySelector("canvas");
    this.data = null;
    this.rows = [];
    this.picked = null;
    this.pointer = null; // where the pointer is over the rows; what it tells outlives a redrawing
    this.box.addEventListener("scroll", () => this.soon());
    this.box.addEventListener("mousemove", (event) => this.point(event));
    this.box.addEventListener("mouseleave", () => this.point(null));
    this.box.addEventListener("click", (event) => {
      this.point(event);
      this.pick(this.at(event));
    });
    this.box.addEventListener("keydown", (event) => this.key(event));
    byId("filter").addEventListener("input", () => this.arrange());
    byId("problems").addEventListener("change", () => this.arrange());
    new ResizeObserver(() => this.box.clientWidth !== this.width && this.arrange()).observe(this.box);
  }

  show(data) {
    this.data = data;
    this.arrange();
  }

  // Which rows there are, and in which order.
  arrange() {
    if (this.data === null) return;
    const wanted = byId("filter").value.trim().toUpperCase();
    this.rows = this.data.rows.filter(([symbol]) => symbol.toUpperCase().includes(wanted));
    if (byId("problems").checked) {
      const trouble = ([, cells]) => [...cells].reduce((worst, letter) => Math.max(worst, TROUBLE[letter] ?? 0), 0);
      const order = new Map(this.rows.map((row) => [row, trouble(row)]));
      this.rows.sort((one, other) => order.get(other) - order.get(one));
    }
    const width = (this.width = this.box.clientWidth);
    this.columns = Math.min(this.data.columns.length, width < NARROW ? NARROW_COLUMNS : Infinity);
    this.skipped = this.data.columns.length - this.columns;
    this.cell = (width - NAMES) / this.columns;
    this.inks = Object.fromEntries(LETTERS.map((letter, index) => [letter, colour(`cell-${index}`)]));
    [this.ground, this.text, this.lit] = ["panel", "text", "lit"].map(colour);
    this.font = getComputedStyle(this.box).fontFamily;
    this.paper.style.height = `${Math.max(1, this.rows.length) * ROW}px`;
    this.times();
    this.legend();
    this.point(this.pointer);
    this.soon();
  }

  soon() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const began = performance.now();
    const [width, height, ratio] = [this.box.clientWidth, this.box.clientHeight, devicePixelRatio];
    const { canvas } = this;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const draw = canvas.getContext("2d");
    draw.scale(ratio, ratio);
    const { inks, text, lit } = this;
    draw.ground = this.ground;
    draw.font = `12px ${this.font}`;
    draw.textBaseline = "middle";
    const first = Math.floor(this.box.scrollTop / ROW);
    const last = Math.min(this.rows.length, first + Math.ceil(height / ROW) + 1);
    for (let row = first; row < last; row += 1) {
      const [symbol, cells] = this.rows[row];
      const y = row * ROW - this.box.scrollTop;
      if (symbol === this.picked) {
        draw.fillStyle = lit;
        draw.fillRect(0, y, width, ROW);
      }
      draw.fillStyle = text;
      draw.fillText(symbol, 4, y + ROW / 2 + 0.5, NAMES - 12);
      for (let column = 0; column < this.columns; column += 1) {
        const letter = cells[this.skipped + column];
        draw.fillStyle = draw.strokeStyle = inks[letter];
        const x = Math.round(NAMES + column * this.cell);
        PAINT[letter](draw, x, y, Math.max(2, Math.round(NAMES + (column + 1) * this.cell) - x - 1));
      }
    }
    if (!this.rows.length) {
      draw.fillStyle = text;
      draw.fillText(word("no_symbols"), 4, ROW / 2);
    }
    this.box.dataset.rows = this.rows.length;
    this.box.dataset.drawMs = (performance.now() - began).toFixed(1);
  }

  // Run times over the columns: as many as there is room for.
  times() {
    const line = this.panel.querySelector(".times");
    const every = Math.ceil(70 / this.cell);
    line.replaceChildren();
    for (let column = this.columns - 1; column >= 0; column -= every) {
      const mark = timeElement(this.runMs(column), { seconds: this.data.step_ms < 60_000 });
      mark.style.right = `${(this.columns - 1 - column) * this.cell + (this.panel.clientWidth - this.box.clientWidth - this.box.offsetLeft)}px`;
      if (NAMES + (column + 1) * this.cell > 80) line.append(mark);
    }
  }

  legend() {
    const present = new Set(this.data.rows.flatMap(([, cells]) => [...cells]));
    const items = LETTERS.filter((letter) => letter !== "." && (present.has(letter) || "srm".includes(letter)));
    this.panel.querySelector(".legend").replaceChildren(
      ...items.map((letter) => {
        const sample = element("canvas", { width: 20, height: 32, "aria-hidden": "true" });
        const draw = sample.getContext("2d");
        draw.scale(2, 2);
        draw.ground = colour("panel");
        draw.fillStyle = draw.strokeStyle = colour(`cell-${LETTERS.indexOf(letter)}`);
        PAINT[letter](draw, 0, 0, 9);
        return element("li", {}, sample, word(`cell_${letter}`));
      }),
    );
  }

  runMs(column) {
    return this.data.first_ms + (this.skipped + column) * this.data.step_ms;
  }

  at(event) {
    const frame = this.box.getBoundingClientRect();
    const row = Math.floor((event.clientY - frame.top + this.box.scrollTop) / ROW);
    const column = Math.floor((event.clientX - frame.left - NAMES) / this.cell);
    return this.rows[row] ? { row: this.rows[row], column } : null;
  }

  point(event) {
    this.pointer = event && { clientX: event.clientX, clientY: event.clientY };
    this.tell(event && this.at(event));
  }

  tell(place) {
    const readout = byId("cell");
    if (place === null) {
      readout.replaceChildren("\u00a0");
      return;
    }
    const [symbol, cells] = place.row;
    const parts = [element("b", {}, symbol)];
    const letter = cells[this.skipped + place.column];
    if (place.column >= 0 && letter !== undefined) {
      parts.push(" · ", timeElement(this.runMs(place.column), { seconds: this.data.step_ms < 60_000 }));
      parts.push(` · ${word(`cell_${letter}`)}`);
      if (letter === "e") parts.push(`: ${reason(this.data.excuses[symbol] ?? "")}`);
    }
    readout.replaceChildren(...parts);
  }

  pick(place) {
    if (place === null) return;
    this.onPick(place.row[0]);
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined || !this.rows.length) return;
    event.preventDefault();
    const now = this.rows.findIndex(([symbol]) => symbol === this.picked);
    const next = Math.min(Math.max(now + step, 0), this.rows.length - 1);
    if (next * ROW < this.box.scrollTop || (next + 1) * ROW > this.box.scrollTop + this.box.clientHeight) {
      this.box.scrollTop = (next - 2) * ROW;
    }
    this.pointer = null;
    this.tell({ row: this.rows[next], column: -1 });
    this.pick({ row: this.rows[next], column: -1 });
  }

  mark(symbol) {
    this.picked = symbol;
    this.soon();
  }
}
