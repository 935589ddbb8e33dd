// Makes elements. Text goes in as text: nothing here, or anywhere, parses markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" && "value" in made) made.value = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return made;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Tells whoever listens instead of looking.
export function say(sentence) {
  document.getElementById("said").textContent = sentence;
}

export function notice(sentence, kind = "") {
  return el("p", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, el("bdi", {}, sentence));
}

export function heading(title, more, ...buttons) {
  const h1 = el("h1", { tabindex: "-1" }, title);
  return el(
    "div",
    { class: "head" },
    el("div", {}, h1, more ? el("p", { class: "more" }, more) : null),
    buttons.length ? el("div", { class: "buttons" }, buttons) : null,
  );
}
