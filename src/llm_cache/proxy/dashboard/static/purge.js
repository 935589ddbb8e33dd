// Deletes entries, after it has said how many and somebody has agreed.

import { post } from "./api.js";
import { el, say } from "./dom.js";
import { count } from "./format.js";
import { line } from "./text.js";

function ask(title, sentence, deletes) {
  return new Promise((resolve) => {
    const cancel = el("button", { type: "button", autofocus: true }, "Cancel");
    const confirm = deletes ? el("button", { type: "button", class: "danger full" }, "Delete") : null;
    const dialog = el(
      "dialog",
      { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
      el("h2", { id: "ask-title" }, title),
      el("p", { id: "ask-text" }, sentence),
      el("div", { class: "buttons" }, cancel, confirm),
    );
    if (!deletes) cancel.textContent = "Close";
    let agreed = false;
    cancel.addEventListener("click", () => dialog.close());
    confirm?.addEventListener("click", () => {
      agreed = true;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(agreed);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

const entries = (number) => `${count(number)} ${number === 1 ? "entry" : "entries"}`;

// `which` says in words what `filter` chooses. Resolves to how many were deleted; 0 if nobody agreed.
export async function purge(filter, which) {
  try {
    const found = await post("purge", filter);
    const what = line(which);
    if (!found.count) {
      await ask("Nothing to delete", el("span", {}, "No entry matches: ", what, "."), false);
      return 0;
    }
    const question = el("span", {}, what, ". The next calls that would have been answered by them are made, and paid, again.");
    if (!(await ask(`Delete ${entries(found.count)}?`, question, true))) return 0;
    const done = await post("purge", { ...filter, confirm: true });
    say(`${entries(done.count)} deleted.`);
    return done.count;
  } catch (error) {
    await ask("That did not work", line(error.message), false);
    return 0;
  }
}
