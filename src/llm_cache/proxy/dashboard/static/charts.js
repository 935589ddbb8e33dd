// Charts of days, drawn as SVG. It draws what it is given; what it means stands in the caption and in the table below.

import { el, svg } from "./dom.js";
import { day as named } from "./format.js";
import { table } from "./table.js";

const HEIGHT = 190;
const LEFT = 52;
const BOTTOM = 24;
const TOP = 8;

function ceiling(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= most * 0.999);
}

// `series`: {label, mark: a | b | c, value(day), lines}; `bars` are stacked, `line` leaves gaps where nothing is known.
export function chart({ title, days, series, kind, write, exact = write, most = null }) {
  const readout = el("p", { class: "readout", "aria-live": "polite" });
  const plot = el("div", { class: "plot", tabindex: "0", role: "group", "aria-label": `${title}, day by day. Left and right arrows move through the days.` });
  const values = days.map((day) => series.map((each) => each.value(day)));
  const highest = Math.max(0, ...values.map((row) => (kind === "bars" ? row.reduce((sum, value) => sum + (value ?? 0), 0) : Math.max(0, ...row.map((value) => value ?? 0)))));
  const top = most ?? ceiling(highest);
  let width = 0;
  let chosen = null;

  const step = () => (width - LEFT) / Math.max(1, days.length);
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top);

  function bars() {
    const wide = Math.max(1, Math.min(34, step() * 0.72));
    return values.flatMap((row, index) => {
      let below = 0;
      const x = LEFT + step() * (index + 0.5) - wide / 2;
      return row.map((value, which) => {
        const from = below;
        below += value ?? 0;
        const tall = Math.max(0, y(from) - y(below));
        return value ? svg("rect", { class: `mark ${series[which].mark}`, x, y: y(below), width: wide, height: tall, rx: Math.min(2.5, wide / 4, tall / 2) }) : null;
      });
    });
  }

  function lines() {
    return series.flatMap((each, which) => {
      const points = values.map((row, index) => [LEFT + step() * (index + 0.5), row[which]]).filter(([, value]) => value !== null && value !== undefined);
      const path = points.map(([x, value], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y(value).toFixed(1)}`).join("");
      if (!points.length) return [];
      const area = `${path}L${points.at(-1)[0].toFixed(1)} ${y(0)}L${points[0][0].toFixed(1)} ${y(0)}Z`;
      const dots = points.length <= 40 ? points.map(([x, value]) => svg("circle", { class: `mark ${each.mark}`, cx: x, cy: y(value), r: 2.6 })) : [];
      return [svg("path", { class: `area ${each.mark}`, d: area }), svg("path", { class: `curve ${each.mark}`, d: path }), ...dots];
    });
  }

  function axes() {
    const marks = [0, 0.5, 1].map((part) => part * top);
    const across = marks.map((value) => svg("g", {}, svg("line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) }), svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, write(value))));
    const every = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(width / 90))));
    const along = days.map((day, index) => ((days.length - 1 - index) % every === 0 ? svg("text", { x: Math.min(LEFT + step() * (index + 0.5), width - 18), y: HEIGHT - 6, "text-anchor": "middle" }, named(day.day)) : null));
    return [...across, ...along];
  }

  function draw() {
    const cursor = chosen === null ? null : svg("rect", { class: "cursor", x: LEFT + step() * chosen, y: TOP, width: step(), height: HEIGHT - TOP - BOTTOM });
    plot.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" }, axes(), cursor, kind === "bars" ? bars() : lines()));
  }

  function choose(index) {
    chosen = Math.max(0, Math.min(days.length - 1, index));
    const said = series.map((each, which) => `${each.label} ${values[chosen][which] === null ? "–" : exact(values[chosen][which], days[chosen])}`);
    readout.textContent = `${named(days[chosen].day)}: ${said.join(", ")}`;
    draw();
  }

  plot.addEventListener("pointermove", (event) => {
    const index = Math.floor((event.clientX - plot.getBoundingClientRect().left - LEFT) / step());
    if (index >= 0 && index < days.length && index !== chosen) choose(index);
  });
  plot.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -days.length, End: days.length };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose((chosen ?? days.length - 1) + (chosen === null ? 0 : moves[event.key]));
  });
  new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now && now !== width) {
      width = now;
      draw();
    }
  }).observe(plot);

  const columns = [{ label: "Day", cell: (day) => day.day }, ...series.map((each) => ({ label: each.label, class: "num", cell: (day) => (each.value(day) === null ? "–" : exact(each.value(day), day)) }))];
  const details = el("details", {}, el("summary", {}, "As a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      const made = table(title, columns, [...days].reverse(), { cards: false });
      made.classList.add("tall");
      details.append(made);
    }
  });
  const legend = el("p", { class: "legend" }, series.map((each) => el("span", { class: each.mark }, each.label)));
  return el("figure", { class: "card chart" }, el("figcaption", {}, el("h2", {}, title), legend), plot, readout, details);
}
