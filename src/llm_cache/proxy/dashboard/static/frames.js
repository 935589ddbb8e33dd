// A stream as it came: when each piece arrived, and what was in it.

import { get } from "./api.js";
import { el, notice, say, svg } from "./dom.js";
import { bytes, count } from "./format.js";
import { table } from "./table.js";
import { visible } from "./text.js";

const ms = (us) => `${(us / 1000).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ms`;

function columns(before) {
  return [
    { label: "no.", class: "num", cell: (frame) => count(frame.number + 1) },
    { label: "after", class: "num", cell: (frame) => ms(frame.at_us) },
    { label: "gap", class: "num", cell: (frame) => (before.has(frame.number) ? ms(frame.at_us - before.get(frame.number)) : "–") },
    { label: "size", class: "num", cell: (frame) => bytes(frame.bytes) },
    { label: "bytes as text", class: "wide", cell: (frame) => el("span", { class: "frame-text" }, visible(frame.text) + (frame.cut ? " …" : "")) },
  ];
}

function timeline(frames) {
  const last = Math.max(1, frames.at(-1).at_us);
  const ticks = frames.map((frame) => svg("rect", { x: (frame.at_us / last) * 996, y: 3, width: 2.4, height: 22 }));
  return svg("svg", { class: "timeline", viewBox: "0 0 1000 28", preserveAspectRatio: "none", role: "img", "aria-label": `${frames.length} frames over ${ms(last)}` }, svg("rect", { class: "axis", x: 0, y: 13, width: 1000, height: 2 }), ticks);
}

export function frames(entry, total) {
  const box = el("details", { class: "card" }, el("summary", {}, total === 1 ? "Frames: it came in one piece" : `Frames: the ${count(total)} pieces it came in, with their timing`));
  const known = [];
  const before = new Map();
  const body = el("div", {});

  async function load() {
    try {
      const told = await get(`entries/${entry}/frames`, { first: String(known.length) });
      for (const frame of told.frames) {
        if (known.length) before.set(frame.number, known.at(-1).at_us);
        known.push(frame);
      }
      const rest = told.total - known.length;
      const more = rest > 0 && told.frames.length ? el("button", { type: "button", class: "small", onclick: load }, `Show more (${count(rest)} left)`) : null;
      body.replaceChildren(...[known.length ? timeline(known) : null, table("Frames", columns(before), known, { cards: false }), more ? el("p", { class: "rest" }, more) : null].filter(Boolean));
      say(`${known.length} of ${told.total} frames are shown.`);
    } catch (error) {
      body.replaceChildren(notice(error.message, "bad"));
    }
  }

  box.append(body);
  box.addEventListener("toggle", () => {
    if (box.open && !known.length) load();
  });
  return box;
}
