/** Elements, made without HTML text, as names come from untrusted files. */

/** Return a new element with properties, and children that are elements or text. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Return the page's element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Give a select its choices, [value, text] each, and choose one. */
export function fillSelect(select, choices, value) {
  select.replaceChildren(...choices.map(([choice, text]) => new Option(text, choice)));
  select.value = value;
}

/** Return a function that runs another one some time after the last of several calls. */
export function debounced(run, milliseconds) {
  let timer = null;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(run, milliseconds);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}
