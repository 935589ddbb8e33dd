// The latest calls, as a table.

import { el } from "./dom.js";
import { money, time } from "./format.js";
import { table } from "./table.js";
import { line } from "./text.js";

function status(call) {
  const kept = call.kept && call.kept !== "stored" ? `not kept: ${call.kept}` : "";
  const words = [call.reason, kept].filter(Boolean).join(", ");
  return el("span", {}, el("span", { class: `badge ${call.status}` }, call.status), words ? el("span", { class: "soft" }, " ", line(words)) : null);
}

function worth(call) {
  if (call.status === "bypass") return "–";
  return el("span", {}, money(call.cost_usd), el("span", { class: "soft" }, call.status === "miss" ? " spent" : " saved"));
}

const stored = (call) => call.key && (call.status === "miss" ? call.kept === "stored" : call.status !== "bypass");

const COLUMNS = [
  { label: "when", class: "when", cell: (call) => time(call.at) },
  { label: "what", cell: status },
  { label: "provider", class: "wide", cell: (call) => line(call.provider || "unknown") },
  { label: "model", class: "wide", cell: (call) => line(call.model || "unknown") },
  { label: "namespace", class: "wide", cell: (call) => line(call.namespace) },
  { label: "money", class: "when", cell: worth },
  { label: "entry", class: "key", cell: (call) => (stored(call) ? el("a", { href: `#/entry/${call.key}` }, call.key.slice(0, 12)) : "–") },
];

export function calls(list) {
  const about = "Of every process that uses this store.";
  const body = list.length ? table("Latest calls", COLUMNS, list.slice(0, 20)) : el("p", { class: "empty" }, "No calls yet.");
  return el("section", { class: "card" }, el("h2", {}, "Latest calls"), el("p", { class: "about" }, about), body);
}
