// Shows text that a model or a stranger wrote. As text only, whatever it contains and however long it is.

import { pieces } from "./api.js";
import { el, say } from "./dom.js";
import { count } from "./format.js";

// Controls (ANSI escapes begin with one) and what turns the direction of everything behind it; not line ends and tabs.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]/g;

function escaped(char) {
  const code = char.codePointAt(0);
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

// What cannot be seen, made visible.
export function visible(text) {
  return text.replaceAll("\r\n", "\n").replace(HIDDEN, escaped);
}

// A name or a line: isolated, so that its direction is its own.
export function line(text, attributes = {}) {
  return el("bdi", { dir: "auto", ...attributes }, visible(text ?? ""));
}

// A text of the server's: `text`, and where it is only the beginning, `length` and `id`.
export function text(told, entry, { code = false } = {}) {
  // What may be taller than its box is scrolled with keys too.
  const tall = told.text.length > 1200 || told.text.split("\n", 16).length > 15;
  const box = el("pre", { class: code ? "text code" : "text", dir: code ? "ltr" : "auto", tabindex: tall ? "0" : null }, visible(told.text));
  if (told.id === undefined) return box;
  const more = el("span", { class: "soft" }, `${count(told.text.length)} of ${count(told.length)} characters`);
  const button = el("button", { type: "button", class: "small" }, "Show all");
  button.addEventListener("click", async () => {
    button.disabled = true;
    box.setAttribute("tabindex", "0");
    try {
      let begun = false;
      let sofar = 0;
      for await (const piece of pieces(`entries/${entry}/texts/${told.id}`)) {
        if (!begun) box.replaceChildren();
        begun = true;
        box.append(document.createTextNode(visible(piece)));
        sofar += piece.length;
        more.textContent = `${count(sofar)} of ${count(told.length)} characters`;
        await new Promise(requestAnimationFrame);
      }
      button.remove();
      more.textContent = `All ${count(told.length)} characters`;
      say(more.textContent);
      box.focus();
    } catch (error) {
      button.disabled = false;
      more.textContent = error.message;
      say(error.message);
    }
  });
  return el("div", {}, box, el("p", { class: "rest" }, button, more));
}
