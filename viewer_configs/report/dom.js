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
