// Light, dark, or as the system has it; remembered by this browser.

const CHOICES = ["auto", "light", "dark"];
const NAME = "llm-cache-theme";

function remembered() {
  try {
    const found = localStorage.getItem(NAME);
    return CHOICES.includes(found) ? found : "auto";
  } catch {
    return "auto"; // a browser that keeps nothing
  }
}

function apply(choice, button) {
  if (choice === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  button.textContent = `Theme: ${choice}`;
}

export function theme(button) {
  let choice = remembered();
  apply(choice, button);
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
    apply(choice, button);
    try {
      localStorage.setItem(NAME, choice);
    } catch {
      // It holds until the page is left.
    }
  });
}
