// The store: how it is, how the cache is set, looking for damage, and deleting.

import { get } from "./api.js";
import { el, heading, notice, say } from "./dom.js";
import { bytes, count } from "./format.js";
import { purge } from "./purge.js";
import { facts, table } from "./table.js";
import { line } from "./text.js";

function state(told) {
  const badge = told.answers ? el("span", { class: "badge hit" }, "answers") : el("span", { class: "badge bad" }, "fails");
  return el(
    "section",
    { class: "card" },
    el("h2", {}, "State"),
    facts([
      ["store", badge],
      ["kind", told.backend],
      ["where", line(told.location)],
      ["a lookup took", told.lookup_ms === undefined ? null : `${told.lookup_ms.toFixed(2)} ms`],
      ["entries", count(told.entries)],
      ["of them expired", count(told.expired)],
      ["size of the entries", bytes(told.size_bytes)],
      ["size of the file", told.file_bytes === null ? null : bytes(told.file_bytes)],
      ["llm-cache", told.version],
    ]),
  );
}

function checking() {
  const found = el("div", { role: "status" });
  const button = el("button", { type: "button", id: "check" }, "Look for damage");
  button.addEventListener("click", async () => {
    button.disabled = true;
    found.replaceChildren(el("p", { class: "soft" }, "Looking …"));
    try {
      const { findings } = await get("check");
      found.replaceChildren(...(findings.length ? findings.map((each) => notice(each, "bad")) : [notice("Nothing was found: the store is whole.", "good")]));
    } catch (error) {
      found.replaceChildren(notice(error.message, "bad"));
    }
    button.disabled = false;
  });
  return el("section", { class: "card" }, el("h2", {}, "Integrity"), el("p", { class: "about" }, "Reads the whole store, which takes a while for a large one."), button, found);
}

function cleaning(told, again) {
  const days = el("input", { id: "older-than", type: "number", min: "0", step: "any", value: "30", inputmode: "decimal" });
  const doing = (filter, words) => async () => {
    if (await purge(filter(), words())) again();
  };
  const wanted = () => Math.max(0, Number(days.value) || 0);
  const expired = el("button", { type: "button", id: "purge-expired", onclick: doing(() => ({ expired: true }), () => "those past their expiry") }, "Delete expired…");
  const older = el("button", { type: "button", id: "purge-older", onclick: doing(() => ({ older_than_days: wanted() }), () => `those older than ${wanted()} days`) }, "Delete older…");
  const all = el("button", { type: "button", class: "danger", id: "purge-all", onclick: doing(() => ({ everything: true }), () => `everything in ${told.location}`) }, "Delete everything…");
  return el(
    "section",
    { class: "card" },
    el("h2", {}, "Deleting"),
    el("p", { class: "about" }, "Each says first how many entries that are, and asks."),
    el("div", { class: "beside" }, el("label", {}, "Older than days", days), older),
    el("div", { class: "beside" }, expired, all),
  );
}

export async function health({ again }) {
  const told = await get("health");
  const columns = [
    { label: "setting", class: "wide", cell: (row) => el("code", {}, row.name) },
    { label: "value", class: "wide", cell: (row) => line(row.value) },
  ];
  say("The state of the store is shown.");
  return [
    heading("Store", "How it is, and how the cache is set.", el("button", { type: "button", id: "refresh", onclick: again }, "Refresh")),
    told.problem ? notice(told.problem, "bad") : null,
    state(told),
    el("div", { class: "two" }, checking(), cleaning(told, again)),
    el("section", { class: "card" }, el("h2", {}, "Settings"), table("Settings", columns, told.settings, { cards: false })),
  ];
}
