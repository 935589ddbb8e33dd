// The nearest other request, and what differs. It is looked for when somebody wants to know: that takes a walk through the store.

import { get } from "./api.js";
import { el, notice, say } from "./dom.js";
import { count, time } from "./format.js";
import { table } from "./table.js";
import { line, visible } from "./text.js";

const COLUMNS = [
  { label: "where", class: "wide broad", cell: (row) => el("code", {}, line(row.path)) },
  { label: "here", class: "wide broad", cell: (row) => el("span", { class: "frame-text" }, visible(row.here)) },
  { label: "there", class: "wide broad", cell: (row) => el("span", { class: "frame-text" }, visible(row.there)) },
  { label: "looks like", class: "wide", cell: (row) => (row.look ? line(row.look) : "–") },
];

function found(told) {
  if (!told.near) {
    const among = told.searched ? ` among the ${count(told.searched)} that were looked at` : "";
    return [el("p", { class: "soft" }, `There is no other request${among} that it could be compared with.`)];
  }
  const { near } = told;
  const link = el("a", { href: `#/entry/${near.key}` }, el("code", {}, near.key.slice(0, 12)));
  const about = el("p", {}, "The nearest is ", link, " of ", line(near.model || "an unknown model"), " in ", line(near.namespace), ", made ", time(near.created_at), ".");
  const same = told.differences.length ? null : el("p", {}, "It is the very same request.");
  return [
    about,
    same,
    told.differences.length ? table("What differs", COLUMNS, told.differences) : null,
    told.more ? el("p", { class: "soft" }, `And ${count(told.more)} more places.`) : null,
    told.note ? el("p", { class: "soft" }, line(told.note)) : null,
    told.advice.map((sentence) => notice(visible(sentence), "good")),
    el("p", { class: "rest soft" }, `${count(told.searched)} ${told.searched === 1 ? "entry was" : "entries were"} looked at.`),
  ];
}

export function differs(entry) {
  const body = el("div", {});
  const box = el("details", { class: "card" }, el("summary", {}, "What differs from the nearest other request: why the second was no hit"), body);
  let asked = false;
  box.addEventListener("toggle", async () => {
    if (!box.open || asked) return;
    asked = true;
    body.replaceChildren(el("p", { class: "soft" }, "Looking…"));
    try {
      const told = await get(`entries/${entry}/why`);
      body.replaceChildren(...found(told).flat().filter(Boolean));
      const places = told.near ? told.differences.length + told.more : 0;
      say(told.near ? `${count(places)} ${places === 1 ? "place differs" : "places differ"}.` : "There is nothing to compare it with.");
    } catch (error) {
      asked = false;
      body.replaceChildren(notice(error.message, "bad"));
    }
  });
  return box;
}
