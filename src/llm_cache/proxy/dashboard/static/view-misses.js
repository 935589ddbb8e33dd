// What missed, and why.

import { get } from "./api.js";
import { el, heading } from "./dom.js";
import { form, go, select } from "./filters.js";
import { count, money, percent } from "./format.js";
import { table } from "./table.js";
import { line } from "./text.js";
import { DAYS } from "./view-overview.js";

const KINDS = [
  ["miss", "Misses", "The cache had no answer to give, so the call was made and paid."],
  ["bypass", "Passed by", "The cache had no part in these calls."],
  ["drop", "Answers not kept", "They were passed on as they came. Only whole, good answers are stored."],
  ["fail", "Failures of the store", "Each cost a miss, or an answer that was not kept; never a call."],
];

const WORDS = {
  absent: "nobody asked this before, in these words",
  expired: "the entry was past its time",
  refresh: "the call wanted a new answer",
  offline: "the mode is offline, and nothing was stored",
  "read-only": "the mode allows no storing",
  off: "the mode is off",
  cut_off: "the stream ended before its end",
  error: "the provider reported an error",
  empty: "there was nothing in it",
  content_filter: "the provider’s filter cut it",
  too_large: "it was over max_entry_mb",
};

function reasons(list, title) {
  const all = list.reduce((sum, each) => sum + each.count, 0);
  const columns = [
    { label: "reason", class: "wide", cell: (row) => el("span", {}, line(row.reason), row.reason in WORDS ? el("span", { class: "soft" }, ` – ${WORDS[row.reason]}`) : null) },
    { label: "share", cell: (row) => el("progress", { class: "bar", max: all, value: row.count, "aria-label": percent(row.count / all) }) },
    { label: "calls", class: "num", cell: (row) => count(row.count) },
  ];
  return list.length ? table(title, columns, list, { cards: false }) : el("p", { class: "soft" }, "None in these days.");
}

function card(title, about, ...children) {
  return el("section", { class: "card" }, el("h2", {}, title), el("p", { class: "about" }, about), children);
}

function models(lines) {
  const missing = lines.filter((each) => each.misses).sort((one, other) => other.misses - one.misses);
  const columns = [
    { label: "model", class: "wide", cell: (row) => line(row.model || "unknown") },
    { label: "provider", class: "wide", cell: (row) => line(row.provider || "unknown") },
    { label: "misses", class: "num", cell: (row) => count(row.misses) },
    { label: "hit rate", class: "num", cell: (row) => percent(row.hit_rate) },
    { label: "spent", class: "num", cell: (row) => money(row.cost_spent_usd) },
  ];
  const body = missing.length ? table("Models that missed", columns, missing, { cards: false }) : el("p", { class: "soft" }, "None in these days.");
  return card("By model", "Where the misses were, and what they cost.", body);
}

// Fields that were new in requests which were otherwise asked before.
function fields(found) {
  const columns = [
    { label: "differs in", class: "wide", cell: (row) => line(row.fields.join(", ")) },
    { label: "where", class: "wide", cell: (row) => line(row.paths.join(", ")) },
    { label: "misses", class: "num", cell: (row) => count(row.misses) },
    { label: "cost", class: "num", cell: (row) => el("span", {}, money(row.cost_usd), row.unpriced ? el("span", { class: "soft" }, " and more") : null) },
    { label: "what to do", class: "wide broad", cell: (row) => line(row.advice) },
    { label: "latest", class: "key", cell: (row) => el("a", { href: `#/entry/${row.key}` }, row.key.slice(0, 12)) },
  ];
  const about = "Of the latest misses: requests that had been asked before but for these fields, the dearest first. Nothing of their values is kept.";
  const body = found?.length ? table("Fields that cost hits", columns, found) : el("p", { class: "soft" }, "None of the latest misses differs from an earlier request by a field or two alone.");
  return card("Fields that cost hits", about, body);
}

export async function misses({ query, again }) {
  const asked = { days: "30", ...query };
  const [told, names] = await Promise.all([get("misses", asked), get("names")]);
  const filters = form(
    "What to count",
    [
      select("days", "Days", DAYS, asked.days, null),
      select("provider", "Provider", names.providers, asked.provider),
      select("model", "Model", names.models, asked.model),
      select("namespace", "Namespace", names.namespaces, asked.namespace),
    ],
    [],
    (values) => go("misses", values),
  );
  const hint = el("p", { class: "soft" }, "What differs between a request and the nearest one stored is on each entry’s page; of a request that is in no entry, ", el("code", {}, "llm-cache why --request FILE"), " tells it.");
  return [
    heading("Misses", "What was not answered by the cache, and why.", el("button", { type: "button", id: "refresh", onclick: again }, "Refresh")),
    filters,
    el("div", { class: "two" }, KINDS.map(([kind, title, words]) => card(title, words, reasons(told.reasons[kind], title)))),
    fields(told.fields),
    models(told.lines),
    hint,
  ];
}
