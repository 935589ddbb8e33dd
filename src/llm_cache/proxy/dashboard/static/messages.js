// Messages and their parts. Images are shown only if they are in the entry itself; what is elsewhere is named.

import { el } from "./dom.js";
import { line, text } from "./text.js";

function labelled(kind, words, ...children) {
  return el("div", { class: `part ${kind}` }, el("p", { class: "what" }, words), children);
}

function part(told, entry) {
  switch (told.kind) {
    case "text":
      return el("div", { class: "part" }, text(told, entry));
    case "thought":
      return el("details", { class: "part thought", open: told.text.length < 600 }, el("summary", {}, "Reasoning"), text(told, entry));
    case "refusal":
      return labelled("refusal", "Refusal", text(told, entry));
    case "call":
      return labelled("call", ["Calls the tool ", el("code", {}, line(told.name || "?")), ref(told)], text(told, entry, { code: true }));
    case "result":
      return labelled(`result${told.failed ? " failed" : ""}`, [told.failed ? "Failed result of " : "Result of ", told.name ? el("code", {}, line(told.name)) : "a tool", ref(told)], told.parts.map((each) => part(each, entry)));
    case "image":
      return el("div", { class: "part" }, el("img", { src: told.src, alt: "An image in this message", loading: "lazy", decoding: "async" }));
    case "link":
      return labelled("link", "An image or file elsewhere, which is not loaded:", text(told, entry, { code: true }));
    case "note":
      return el("p", { class: "part soft" }, line(told.text));
    default:
      return labelled("json", "Data", text(told, entry, { code: true }));
  }
}

function ref(told) {
  return told.ref ? el("span", {}, " · ", line(told.ref)) : null;
}

const ROLES = ["system", "developer", "user", "assistant", "model", "tool"];

export function messages(list, entry) {
  return list.map((message) => {
    const known = ROLES.includes(message.role) ? message.role : "";
    const ended = message.ended ? el("span", { class: "badge" }, line(message.ended)) : null;
    return el("article", { class: `message ${known}` }, el("h3", { class: "who" }, line(message.role || "message"), ended), message.parts.map((each) => part(each, entry)));
  });
}
