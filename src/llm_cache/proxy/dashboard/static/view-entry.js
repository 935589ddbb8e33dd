// One entry: what was asked and answered, what it cost, and how it came.

import { get } from "./api.js";
import { differs } from "./differs.js";
import { el, heading, notice, say } from "./dom.js";
import { bytes, count, money, seconds, time } from "./format.js";
import { frames } from "./frames.js";
import { messages } from "./messages.js";
import { purge } from "./purge.js";
import { facts, table } from "./table.js";
import { line, text } from "./text.js";

function about(told) {
  return facts([
    ["provider", line(told.provider)],
    ["model", line(told.model || "unknown")],
    ["answered by", told.answered_model && told.answered_model !== told.model ? line(told.answered_model) : null],
    ["endpoint", line(told.endpoint)],
    ["namespace", line(told.namespace)],
    ["made", time(told.created_at)],
    ["expires", time(told.expires_at)],
    ["hits", count(told.hits)],
    ["last hit", time(told.last_hit_at)],
    ["took the provider", seconds(told.latency_ms / 1000)],
    ["kind", `${told.kind}${told.stream ? ", stream" : ""}`],
    ["size in the store", bytes(told.size_bytes)],
    ["cost", money(told.cost_usd)],
  ]);
}

function bill(told) {
  if (!told.bill?.length) return null;
  const columns = [
    { label: "what", cell: (row) => row.what },
    { label: "tokens", class: "num", cell: (row) => count(row.tokens) },
    { label: "cost", class: "num", cell: (row) => (row.part ? "" : money(row.cost_usd)) },
  ];
  const kind = (row) => (row.total ? "sum" : row.part ? "of-it" : null);
  const saved = told.hits && told.cost_usd ? el("p", { class: "soft" }, `Served ${count(told.hits)} ${told.hits === 1 ? "time" : "times"} since, each time instead of paying that.`) : null;
  return el("section", { class: "card" }, el("h2", {}, "Cost"), table("Cost", columns, told.bill, { cards: false, row: kind }), saved);
}

function asked(told, key) {
  const { request } = told;
  const list = messages(request.messages, key);
  const tools = request.tools.length
    ? el("details", { class: "raw" }, el("summary", {}, `Tools on offer: ${count(request.tools.length)}`), request.tools.map((tool) => el("details", { class: "part" }, el("summary", {}, el("code", {}, line(tool.name)), tool.about ? el("span", {}, " – ", line(tool.about)) : null), text(tool, key, { code: true }))))
    : null;
  const settings = request.settings.length
    ? el("details", { class: "raw" }, el("summary", {}, `Everything else that was sent: ${count(request.settings.length)}`), table("Everything else that was sent", [{ label: "field", class: "wide", cell: (row) => line(row.name) }, { label: "value", class: "wide", cell: (row) => text(row, key, { code: true }) }], request.settings, { cards: false }))
    : null;
  const none = list.length ? null : el("p", { class: "soft" }, told.raw_request ? "It has no messages that could be recognised; as it was sent:" : "The request was not kept.");
  const raw = told.raw_request ? el("details", { class: "raw", open: !list.length }, el("summary", {}, "As it was sent"), text(told.raw_request, key, { code: true })) : null;
  return el("section", { class: "card" }, el("h2", {}, "Request"), none, list, el("div", { class: "space" }), tools, settings, raw);
}

function answered(told, key) {
  const list = messages(told.answer, key);
  const none = list.length ? null : el("p", { class: "soft" }, "It has no messages that could be recognised; as it came:");
  const headers = told.headers.length
    ? el("details", { class: "raw" }, el("summary", {}, `Headers: ${count(told.headers.length)}`), table("Headers", [{ label: "name", class: "wide", cell: (row) => line(row.name) }, { label: "value", class: "wide", cell: (row) => line(row.value) }], told.headers, { cards: false }))
    : null;
  const raw = el("details", { class: "raw", open: !list.length }, el("summary", {}, "As it came"), text(told.raw_answer, key, { code: true }));
  return el("section", { class: "card" }, el("h2", {}, "Answer"), none, list, el("div", { class: "space" }), raw, headers);
}

export async function entry({ rest }) {
  const key = encodeURIComponent(rest[0] ?? "");
  const told = await get(`entries/${key}`);
  const remove = el("button", { type: "button", class: "danger", id: "purge" }, "Delete…");
  remove.addEventListener("click", async () => {
    if (await purge({ key: told.key }, `the entry ${told.key.slice(0, 12)}`)) location.hash = "#/entries";
  });
  const copy = el("button", { type: "button", id: "copy" }, "Copy the key");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(told.key);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "It could not be copied";
    }
    say(copy.textContent);
  });
  const top = [heading("Entry", el("span", { class: "keyline" }, told.key), copy, remove), el("section", { class: "card", "aria-label": "Facts" }, about(told))];
  if (told.unreadable) return [...top, notice(told.unreadable)];
  return [...top, asked(told, key), answered(told, key), frames(key, told.frames), bill(told), told.raw_request ? differs(key) : null];
}
