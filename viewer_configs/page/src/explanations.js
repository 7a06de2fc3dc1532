/** Short explanations of terms: a button beside a term opens its explanation. */

import { TERMS } from "../../report/terms.js";
import { byId, make } from "./dom.js";

/** What terms of the page mean that the report does not have; the report's are taken from there. */
const OWN = {
  tissue: "The cells that were analysed.",
  fade: "A cell is the fainter the less attention it gets, as its value then matters little for the slide. The bar shows both: the value from left to right, attention upwards.",
  bounds: "“≤” and “≥” mark an end of the colours beyond which values occur; they have the end’s colour.",
};

function explanationOf(term) {
  if (Object.hasOwn(TERMS, term)) return TERMS[term][1];
  return Object.hasOwn(OWN, term) ? OWN[term] : null;
}

/** Let each button with `data-term` open its explanation. */
export function listenToExplanations() {
  const note = byId("explanation");
  // The browser itself opens and closes the note, and gives it back the focus.
  for (const button of document.querySelectorAll("button[data-term]")) {
    button.addEventListener("click", () => fill(note, button), { capture: true });
  }
}

function fill(note, button) {
  note.replaceChildren(make("p", {}, explanationOf(button.dataset.term) ?? ""));
  const box = button.getBoundingClientRect();
  const width = Math.min(300, innerWidth - 24);
  note.style.width = `${width}px`;
  note.style.left = `${Math.max(12, Math.min(innerWidth - width - 12, box.left - width / 2))}px`;
  const below = box.bottom < innerHeight * 0.6;
  note.style.top = below ? `${box.bottom + 6}px` : "auto";
  note.style.bottom = below ? "auto" : `${innerHeight - box.top + 6}px`;
}

/** Let a button explain a term; it is hidden for terms without explanation. */
export function explain(id, term) {
  const button = byId(id);
  button.dataset.term = term;
  button.hidden = explanationOf(term) === null;
}
