// The form above lists and charts. What is chosen goes into the address, so that it can be gone back to and shared.

import { el } from "./dom.js";

export function go(view, query) {
  const kept = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(kept).toString();
  location.hash = `#/${view}${text ? `?${text}` : ""}`;
}

export function select(name, label, options, chosen, any = "all") {
  const known = options.map((option) => (typeof option === "string" ? { value: option, label: option } : option));
  if (chosen && !known.some((option) => option.value === chosen)) known.push({ value: chosen, label: chosen });
  const first = any === null ? [] : [el("option", { value: "" }, any)];
  const made = el("select", { name, id: `filter-${name}` }, first, known.map((option) => el("option", { value: option.value }, option.label)));
  made.value = chosen ?? "";
  return el("label", {}, label, made);
}

export function field(name, label, chosen, attributes = {}) {
  const plain = { type: "search", autocomplete: "off", spellcheck: "false", autocapitalize: "none" };
  return el("label", {}, label, el("input", { name, id: `filter-${name}`, ...plain, ...attributes, value: chosen ?? "" }));
}

// `chosen(values)` is told on submit, and at once when a select changes.
export function form(label, controls, buttons, chosen) {
  const made = el("form", { class: "card filters", role: "search", "aria-label": label }, controls, buttons.length ? el("div", { class: "buttons" }, buttons) : null);
  const tell = () => chosen(Object.fromEntries([...new FormData(made)].map(([name, value]) => [name, value.trim()])));
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    tell();
  });
  made.addEventListener("change", (event) => {
    if (event.target instanceof HTMLSelectElement) tell();
  });
  return made;
}
