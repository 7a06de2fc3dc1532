/* Makes elements. Data become text or properties, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Return an element. `props` are properties; "class", "aria-…", "data-…" and the like are attributes. */
export function el(name, props = {}, ...children) {
  return filled(document.createElement(name), props, children);
}

/** Return an element of SVG. */
export function svg(name, props = {}, ...children) {
  return filled(document.createElementNS(SVG, name), props, children);
}

function filled(made, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "style") for (const [key, setting] of Object.entries(value)) made.style.setProperty(key, setting);
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-") && made.namespaceURI !== SVG) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Return a card with a heading. */
export function card(title, ...children) {
  const id = `card-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return el("section", { class: "card", id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title), ...children);
}

/** Return a control with its label above it. */
export function labelled(text, control, more = null) {
  return el("label", { class: "field" }, el("span", { class: "label" }, text, more), control);
}

/** Return a <select> of [value, text] pairs. */
export function chooser(pairs, chosen, onchange) {
  const options = pairs.map(([value, text]) => el("option", { value }, text));
  const made = el("select", { onchange: () => onchange(made.value) }, options);
  made.value = chosen;
  return made;
}

/** Return a table; `heads` are [text, is a number] pairs and cells can be anything that can be appended. */
export function table(heads, rows, props = {}) {
  const kind = (index) => (heads[index][1] ? "number" : null);
  return el("div", { class: "scroll" }, el("table", { class: "narrows", ...props },
    el("thead", {}, el("tr", {}, heads.map(([text], i) => el("th", { scope: "col", class: kind(i) }, text)))),
    el("tbody", {}, rows.map((row) => el("tr", row.props ?? {}, row.cells.map((cell, i) => el("td", { class: kind(i), "data-title": heads[i][0] }, cell)))))));
}
