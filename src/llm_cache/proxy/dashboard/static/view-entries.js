// The entries: search, filters, pages, and deleting what the filters choose.

import { get } from "./api.js";
import { el, heading } from "./dom.js";
import { field, form, go, select } from "./filters.js";
import { bytes, count, money, time } from "./format.js";
import { purge } from "./purge.js";
import { table } from "./table.js";
import { line } from "./text.js";

const STATES = [
  { value: "live", label: "live" },
  { value: "expired", label: "expired" },
];

function columns() {
  const glance = (row) => (row.glance ? el("span", { class: "glance" }, line(row.glance)) : null);
  return [
    { label: "key", class: "key", cell: (row) => el("a", { href: `#/entry/${row.key}`, "aria-label": `Entry ${row.key.slice(0, 12)}` }, row.key.slice(0, 12)) },
    { label: "made", class: "when", cell: (row) => time(row.created_at) },
    { label: "asked", class: "wide broad", cell: (row) => el("span", {}, line(row.model || "unknown"), row.stream ? el("span", { class: "soft" }, " · stream") : null, expired(row), glance(row)) },
    { label: "provider", class: "wide", cell: (row) => line(row.provider) },
    { label: "namespace", class: "wide", cell: (row) => line(row.namespace) },
    { label: "hits", class: "num", cell: (row) => count(row.hits) },
    { label: "cost", class: "num", cell: (row) => money(row.cost_usd) },
    { label: "size", class: "num", cell: (row) => bytes(row.size_bytes) },
  ];
}

function expired(row) {
  return row.expires_at !== null && row.expires_at * 1000 <= Date.now() ? el("span", {}, " ", el("span", { class: "badge warn" }, "expired")) : null;
}

// The filters that deleting knows; a text in a model's name is not among them.
function doomed(query) {
  const filter = {};
  for (const name of ["key", "provider", "model", "namespace"]) if (query[name]) filter[name] = query[name];
  if (filter.key) filter.key = filter.key.toLowerCase();
  if (query.state === "expired") filter.expired = true;
  return filter;
}

export async function entries({ query, again }) {
  const [told, names] = await Promise.all([get("entries", query), get("names")]);
  const { after, ...chosen } = query;
  const filter = doomed(chosen);
  const fits = Object.keys(filter).length > 0 && !chosen.text && chosen.state !== "live";
  const words = Object.entries(filter).map(([name, value]) => (name === "expired" ? "expired" : `${name} ${value}`));
  const remove = el("button", { type: "button", class: "danger", id: "purge" }, "Delete matching…");
  remove.disabled = !fits;
  remove.title = fits ? "" : "Choose a key, provider, model, namespace or expired ones first";
  remove.addEventListener("click", async () => {
    if (await purge(filter, words.join(", "))) again();
  });
  const filters = form(
    "Which entries",
    [
      field("key", "Key begins with", chosen.key, { pattern: "[0-9a-fA-F]{1,64}", title: "hex digits", maxlength: "64" }),
      field("text", "Model contains", chosen.text, { maxlength: "200" }),
      select("provider", "Provider", names.providers, chosen.provider),
      select("model", "Model", names.models, chosen.model),
      select("namespace", "Namespace", names.namespaces, chosen.namespace),
      select("state", "State", STATES, chosen.state),
    ],
    [el("button", { class: "main" }, "Search"), el("button", { type: "button", class: "quiet", onclick: () => go("entries", {}) }, "Clear")],
    (values) => go("entries", values),
  );
  const older = el("button", { type: "button", id: "older", onclick: () => go("entries", { ...chosen, after: told.next }) }, "Older");
  older.disabled = !told.next;
  const newer = el("button", { type: "button", id: "newer", onclick: () => history.back() }, "Back");
  newer.disabled = !after;
  const newest = el("button", { type: "button", class: "quiet", id: "newest", onclick: () => go("entries", chosen) }, "Newest");
  newest.disabled = !after;
  const shown = told.entries.length;
  const body = shown ? table("Entries, newest first", columns(), told.entries) : el("p", { class: "empty" }, "No entry matches.");
  return [
    heading("Entries", "What is stored, newest first.", remove),
    filters,
    el("section", { class: "card", "aria-label": "Entries" }, body, el("nav", { class: "pager", "aria-label": "Pages" }, el("span", { class: "soft" }, `${count(shown)} shown${told.next ? ", and there are older ones" : ""}`), newest, newer, older)),
  ];
}
