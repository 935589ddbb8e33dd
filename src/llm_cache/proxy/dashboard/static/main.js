// Shows the view that the address names: #/ , #/entries?…, #/entry/KEY, #/misses, #/health. It fetches nothing itself.

import { notice, say } from "./dom.js";
import { theme } from "./theme.js";
import { entries } from "./view-entries.js";
import { entry } from "./view-entry.js";
import { health } from "./view-health.js";
import { misses } from "./view-misses.js";
import { overview } from "./view-overview.js";

const VIEWS = {
  "": { title: "Overview", view: overview, at: "#/" },
  entries: { title: "Entries", view: entries, at: "#/entries" },
  entry: { title: "Entry", view: entry, at: "#/entries" },
  misses: { title: "Misses", view: misses, at: "#/misses" },
  health: { title: "Store", view: health, at: "#/health" },
};

const main = document.getElementById("main");
let latest = 0;

function place() {
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [name = "", ...rest] = path.split("/").filter(Boolean);
  return { name: name in VIEWS ? name : "", rest, query: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

async function show({ keep = false } = {}) {
  const turn = (latest += 1);
  const { name, rest, query } = place();
  const { title, view, at } = VIEWS[name];
  main.setAttribute("aria-busy", "true");
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === at) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  let made;
  try {
    made = await view({ query, rest, again: () => show({ keep: true }) });
  } catch (error) {
    made = [notice(error.message, "bad")];
  }
  if (turn !== latest) return; // somebody has gone on meanwhile
  const focused = keep ? document.activeElement?.id : null;
  main.replaceChildren(...made.filter(Boolean));
  main.removeAttribute("aria-busy");
  document.title = `${title} · llm-cache`;
  if (!keep) {
    scrollTo(0, 0);
    if (turn > 1) (main.querySelector("h1") ?? main).focus();
  } else if (focused) {
    document.getElementById(focused)?.focus();
  }
  say(`${title} is shown.`);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  main.focus();
});
theme(document.getElementById("theme"));
addEventListener("hashchange", () => show());
show();
