// The overview: what was saved, day by day and by where it went, and the latest calls.

import { get } from "./api.js";
import { calls } from "./calls.js";
import { chart } from "./charts.js";
import { el, heading, notice } from "./dom.js";
import { form, go, select } from "./filters.js";
import { bytes, count, dollars, money, percent, seconds, short } from "./format.js";
import { table } from "./table.js";
import { line } from "./text.js";

export const DAYS = [
  { value: "7", label: "7 days" },
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "all", label: "all time" },
];

function tile(label, value, note, kind = "") {
  const plain = typeof value === "string" ? el("span", {}, value) : value;
  return el("div", { class: `tile ${kind}` }, el("dd", {}, el("div", { class: "value" }, plain), el("div", { class: "note" }, note ?? "")), el("dt", {}, label));
}

function tiles(told) {
  const { total } = told;
  const all = total.hits + total.misses;
  const unpriced = (number) => (number ? `and ${count(number)} of unknown price` : "");
  return el(
    "dl",
    { class: "tiles" },
    tile("saved", money(total.cost_saved_usd), unpriced(total.unpriced_saved), "good"),
    tile("spent", money(total.cost_spent_usd), unpriced(total.unpriced_spent)),
    tile("hit rate", percent(total.hit_rate), all ? `${count(total.hits)} of ${count(all)}` : "no calls yet"),
    tile("calls", short(all + total.bypasses), total.bypasses ? `${count(total.bypasses)} passed by the cache` : ""),
    tile("tokens saved", short(total.tokens_saved), `time saved: ${seconds(total.time_saved_s)}`),
    tile("entries stored", told.entries === null ? "unknown" : short(told.entries), bytes(told.size_bytes)),
  );
}

function charts(days) {
  const exact = (name) => (_, day) => `$${day[name]}`;
  const saved = { label: "saved", mark: "a", value: (day) => Number(day.cost_saved_usd) };
  const spent = { label: "spent", mark: "b", value: (day) => Number(day.cost_spent_usd) };
  return el(
    "div",
    { class: "two" },
    chart({ title: "Money", days, kind: "bars", series: [saved, spent], write: dollars, exact: dollars }),
    chart({ title: "Hit rate", days, kind: "line", most: 1, write: percent, series: [{ label: "hits of hits and misses", mark: "c", value: (day) => day.hit_rate }] }),
    chart({ title: "Calls", days, kind: "bars", write: short, exact: count, series: [{ label: "hits", mark: "a", value: (day) => day.hits }, { label: "misses", mark: "b", value: (day) => day.misses }] }),
    chart({ title: "Tokens not paid for", days, kind: "bars", write: short, exact: count, series: [{ label: "tokens saved", mark: "c", value: (day) => day.tokens_saved }] }),
  );
}

const rate = { label: "hit rate", class: "num", cell: (row) => percent(row.hit_rate) };
const amounts = [
  { label: "calls", class: "num", cell: (row) => count(row.hits + row.misses + row.bypasses) },
  rate,
  { label: "saved", class: "num", cell: (row) => money(row.cost_saved_usd) },
  { label: "spent", class: "num", cell: (row) => money(row.cost_spent_usd) },
];

function card(title, rows, columns) {
  const body = rows.length ? table(title, columns, rows, { cards: false }) : el("p", { class: "empty" }, "No calls in these days.");
  return el("section", { class: "card" }, el("h2", {}, title), body);
}

export async function overview({ query, again }) {
  const asked = { days: "30", ...query };
  const [told, names, recent] = await Promise.all([get("overview", asked), get("names"), get("calls")]);
  const provider = { label: "provider", class: "wide", cell: (row) => line(row.provider || "unknown") };
  const model = { label: "model", class: "wide", cell: (row) => line(row.model || "unknown") };
  const namespace = { label: "namespace", class: "wide", cell: (row) => line(row.namespace) };
  const filters = form(
    "What to count",
    [
      select("days", "Days", DAYS, asked.days, null),
      select("provider", "Provider", names.providers, asked.provider),
      select("model", "Model", names.models, asked.model),
      select("namespace", "Namespace", names.namespaces, asked.namespace),
    ],
    [],
    (values) => go("", values),
  );
  const refresh = el("button", { type: "button", id: "refresh", onclick: again }, "Refresh");
  return [
    heading("Overview", "What the cache saved. Days are UTC’s.", refresh),
    told.problem ? notice(told.problem, "bad") : null,
    filters,
    tiles(told),
    charts(told.days),
    el("div", { class: "two" }, card("By model", told.lines, [model, provider, ...amounts]), el("div", {}, card("By provider", told.providers, [provider, ...amounts]), el("div", { class: "space" }), card("By namespace", told.namespaces, [namespace, ...amounts]))),
    calls(recent.calls),
  ];
}
