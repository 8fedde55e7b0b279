// Elements, numbers and times. Text only ever becomes text: nothing here makes markup of a string.

import { word } from "./words.js";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

const two = (number) => String(number).padStart(2, "0");

export function utc(ms) {
  return `${new Date(ms).toISOString().replace("T", " ").replace(/\.000Z$/, "Z").replace("Z", " UTC")}`;
}

// In the browser's zone; the date only where it is another day's.
export function clock(ms, { seconds = false, millis = false } = {}) {
  const moment = new Date(ms);
  let text = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
  if (seconds || millis) text += `:${two(moment.getSeconds())}`;
  if (millis) text += `.${String(moment.getMilliseconds()).padStart(3, "0")}`;
  if (moment.toDateString() !== new Date().toDateString()) {
    text = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ${text}`;
  }
  return text;
}

export function timeElement(ms, options) {
  return element("time", { datetime: new Date(ms).toISOString(), title: utc(ms) }, clock(ms, options));
}

// A sentence with elements in it: sentence("complete_for", { time: element }) keeps their place in either language.
export function sentence(name, values) {
  const parts = [];
  const marks = Object.fromEntries(Object.keys(values).map((key) => [key, `\u0000${key}\u0000`]));
  for (const [index, part] of word(name, marks).split("\u0000").entries()) {
    parts.push(index % 2 ? values[part] : part);
  }
  return element("span", {}, ...parts);
}

export function age(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return word("second", { n: whole });
  if (whole < 7200) return word("minute", { n: Math.floor(whole / 60) });
  if (whole < 172800) return word("hour", { n: Math.floor(whole / 3600) });
  return word("day", { n: Math.floor(whole / 86400) });
}

// Prices as they are; never as 1.2e-7, which nobody can compare at a glance.
export function price(number) {
  const text = String(number);
  return text.includes("e-") ? number.toFixed(12).replace(/0+$/, "") : text;
}

export function short(number) {
  return number.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 5 });
}

export function significant(number) {
  return number.toLocaleString("en", { maximumSignificantDigits: 6, useGrouping: Math.abs(number) >= 1e5 });
}

// The colour behind a name of the style sheet, as the theme of the moment resolves it.
export function colour(name) {
  const probe = element("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
