/** Short explanations of terms: a button beside a term opens its explanation. */

import { byId, make } from "./dom.js";

/** What the terms of the page mean, and the kinds of maps that have been there from the start. */
const TERMS = {
  attention: "How much weight the model gives a cell, compared with the slide’s other cells, when it sums up the slide. It says where the model looks, not which class it sees there.",
  "class-attention": "How much weight the model gives a cell when it decides about this class.",
  score: "The probability of the class that the model would give to this cell if it were the whole slide.",
  prediction: "What the model would predict if this cell were the whole slide.",
  value: "A value that was given for each place.",
  contribution: "A cell’s part of the slide’s logit of the class (the number that becomes its probability), times the number of cells: the logit that the slide would have if all cells were like this one. So it can be compared between slides of any size.",
  evidence: "The contribution to the class less the mean of the contributions to all classes, times the number of cells: above zero a cell speaks for the class, below zero against it.",
  "leave-one-out": "By how much the slide’s result falls if this cell is left out.",
  "sd-score": "How far several models disagree about the score: the standard deviation of their scores.",
  tissue: "The cells that were analysed.",
  winner: "The class with the highest score in each cell.",
  margin: "The score of the class less that of its strongest rival: above zero the class wins.",
  artefacts: "Cells in which pen, dark, blurred or empty parts were recognised by their colour and sharpness.",
  hot: "The class whose maps are drawn in hot colours. It was chosen for the run, and says nothing about the patient.",
  truth: "The label of the slide in the table that the run was given. A prediction is right if its most probable class is that label.",
  fade: "A cell is the fainter the less attention it gets, as its value then matters little for the slide. The bar shows both: the value from left to right, attention upwards.",
  bounds: "“≤” and “≥” mark an end of the colours beyond which values occur; they have the end’s colour.",
  regions: "Cells that hang together and speak for the class drawn hot (hot regions), or against it (cold regions).",
};

/** Let each button with `data-term` open its explanation. */
export function listenToExplanations() {
  const note = byId("explanation");
  // The browser itself opens and closes the note, and gives it back the focus.
  for (const button of document.querySelectorAll("button[data-term]")) {
    button.addEventListener("click", () => fill(note, button), { capture: true });
  }
}

function fill(note, button) {
  note.replaceChildren(make("p", {}, TERMS[button.dataset.term] ?? ""));
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
  button.hidden = !Object.hasOwn(TERMS, term);
}
