// How numbers, money, times and names are written. It makes strings and small elements, nothing else.

import { el } from "./dom.js";

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function count(value) {
  return value === null || value === undefined ? "unknown" : whole.format(value);
}

export function short(value) {
  return Math.abs(value) < 10000 ? whole.format(value) : compact.format(value);
}

export function dollars(text) {
  const value = Number(text);
  if (value === 0) return "$0";
  const digits = Math.abs(value) >= 0.1 ? 2 : Math.min(10, 1 - Math.floor(Math.log10(Math.abs(value))));
  return `${value < 0 ? "−" : ""}$${Math.abs(value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: digits })}`;
}

// Money, rounded for the eye; exact in `value`, and when pointed at. Unknown is never 0.
export function money(text) {
  if (text === null || text === undefined) return el("span", { class: "soft" }, "unknown");
  return el("data", { value: text, title: `$${text}` }, dollars(text));
}

export function percent(part) {
  return part === null || part === undefined ? "–" : `${(100 * part).toFixed(part > 0 && part < 0.1 ? 1 : 0)}%`;
}

export function bytes(size) {
  if (size === null || size === undefined) return "unknown";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit ? size.toFixed(1) : whole.format(size)} ${units[unit]}`;
}

export function seconds(value) {
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 7200) return `${(value / 60).toFixed(0)} min`;
  if (value < 172800) return `${(value / 3600).toFixed(1)} h`;
  return `${(value / 86400).toFixed(1)} days`;
}

export function moment(at) {
  const date = new Date(at * 1000);
  return Number.isNaN(date.getTime()) ? null : date;
}

// A time of day, and the date unless it is today's.
export function time(at) {
  const date = at === null || at === undefined ? null : moment(at);
  if (!date) return el("span", { class: "soft" }, "never");
  const clock = date.toLocaleTimeString("en-GB");
  const today = date.toDateString() === new Date().toDateString();
  const day = date.toLocaleDateString("en-CA");
  return el("time", { datetime: date.toISOString(), title: date.toISOString() }, today ? clock : `${day} ${clock.slice(0, 5)}`);
}

// A day, or a month or year of long ago.
export function day(text) {
  if (text.length === 4) return text;
  const month = text.length === 7;
  const date = new Date(`${text}${month ? "-01" : ""}T00:00:00Z`);
  const parts = month ? { month: "short", year: "numeric" } : { month: "short", day: "numeric" };
  return date.toLocaleDateString("en", { ...parts, timeZone: "UTC" });
}
