// The latest calls, as a table.

import { el } from "./dom.js";
import { time } from "./format.js";
import { table } from "./table.js";
import { line } from "./text.js";

function status(call) {
  return el("span", {}, el("span", { class: `badge ${call.status.replace(" ", "-")}` }, call.status), call.reason ? el("span", { class: "soft" }, " ", line(call.reason)) : null);
}

const COLUMNS = [
  { label: "when", class: "when", cell: (call) => time(call.at) },
  { label: "what", cell: status },
  { label: "provider", class: "wide", cell: (call) => line(call.provider || "unknown") },
  { label: "model", class: "wide", cell: (call) => line(call.model || "unknown") },
  { label: "endpoint", class: "wide", cell: (call) => line(call.endpoint) },
  { label: "namespace", class: "wide", cell: (call) => line(call.namespace) },
  { label: "entry", class: "key", cell: (call) => (call.key ? el("a", { href: `#/entry/${call.key}` }, call.key.slice(0, 12)) : "–") },
];

export function calls(list) {
  const about = "Those this process has served, and what the newest entries tell of others.";
  const body = list.length ? table("Latest calls", COLUMNS, list.slice(0, 20)) : el("p", { class: "empty" }, "No calls yet.");
  return el("section", { class: "card" }, el("h2", {}, "Latest calls"), el("p", { class: "about" }, about), body);
}
