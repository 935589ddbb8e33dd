// Makes tables that read as tables on every screen. It does not know what is in them.

import { el } from "./dom.js";

// Columns: `label`, `cell(row)`, and `class`. On a phone rows become cards, for which the roles are set by hand.
export function table(caption, columns, rows, { cards = true, seen = false, row: rowClass = () => null } = {}) {
  const head = columns.map((column) => el("th", { scope: "col", role: "columnheader", class: column.class }, column.label));
  const body = rows.map((row) => {
    const cells = columns.map((column) => {
      const cell = column.cell(row);
      return el("td", { role: "cell", class: column.class, "data-label": column.label }, cards ? el("div", {}, cell) : cell);
    });
    return el("tr", { role: "row", class: rowClass(row) }, cells);
  });
  return el(
    "div",
    { class: "scroll", tabindex: cards ? null : "0", role: cards ? null : "region", "aria-label": cards ? null : caption },
    el(
      "table",
      { class: cards ? "cards" : null, role: "table" },
      el("caption", { class: seen ? null : "unseen" }, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
      el("tbody", { role: "rowgroup" }, body),
    ),
  );
}

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  return el("dl", { class: "facts" }, shown.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
